"""What the clustering programs share: their input, and the clusters directory that they leave."""

import hashlib
import itertools
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from unspeech.cli.errors import UnspeechError
from unspeech.clustering.graph import BLOCK, CHUNK, Graph, store_vectors
from unspeech.clustering.inverted_lists import nearest_centroids
from unspeech.clustering.scores import clustering_scores
from unspeech.corrections.corrected import (
    NOWHERE,
    UNCORRECTED,
    Corrected,
    correct,
    read_corrected,
)
from unspeech.corrections.log import NAME as CORRECTIONS
from unspeech.files.atomic import atomic_write
from unspeech.files.npz import load_npz
from unspeech.files.text import read_json
from unspeech.kaldi.tables import invert, read_table, speakers_of, write_table

OUTLIER = -1  # label of an utterance that density-based clustering leaves in no cluster


def read_clustering(directory: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Read what a clusters directory says of its clusters.

    Returns:
        `clusters.json`, and the arrays of `members.npz`: `labels` and `core` of the utterances,
        `births` and `deaths` of the clusters.
    Raises:
        UnspeechError: when the directory is not complete, or a file of it damaged.
    """
    for name in ("clusters.json", "members.npz", "graph/vectors.npy"):
        if not (directory / name).exists():
            raise UnspeechError(f"{directory / name}: no such file; cluster again")
    path = directory / "clusters.json"
    summary = read_json(path)
    settings, clusters = summary.get("settings"), summary.get("clusters")
    counts = [clusters, summary.get("outliers")]
    if not isinstance(settings, dict) or not all(type(n) is int and n >= 0 for n in counts):
        raise UnspeechError(f"{path}: damaged; cluster again")
    for name in (
        "cluster_algorithm",
        "algorithm",
        "metric",
        "normalize",
        "half_index",
        "min_samples",
    ):
        if name not in settings:
            raise UnspeechError(f"{path}: its settings lack {name}; cluster again")
    path = directory / "members.npz"
    members = load_npz(path)
    if not (
        members.keys() >= {"labels", "core", "births", "deaths"}
        and members["births"].shape == members["deaths"].shape == (clusters,)
        and members["labels"].shape == (summary.get("utterances"),)
        and members["labels"].max(initial=OUTLIER) < clusters
    ):
        raise UnspeechError(
            f"{path}: damaged, or not of {directory / 'clusters.json'}; cluster again"
        )
    # Other settings or vectors may have been tried in this directory since.
    if summary.get("vectors", now := vectors_key(directory)) != now:
        raise UnspeechError(
            f"{directory / 'graph'}: is of other vectors than the clusters by now; cluster again, "
            "with --overwrite true, and try other settings or vectors in another directory"
        )
    return summary, members


def vectors_key(directory: Path) -> str:
    """What the vectors of a clusters directory's graph were made from, as a digest."""
    made_from = Graph(directory / "graph").made_from("vectors")
    made_from["files"] = list(made_from.get("files", {}).values())  # the directory may have moved
    return hashlib.md5(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def read_input(options, settings: Mapping) -> tuple[Graph, list[str], list[str] | None]:
    """Store the vectors in the clusters directory's graph.

    Args:
        options: of `clusters_parser`, with `threads`.
        settings: how vectors are taken, see `store_vectors`.
    Returns:
        the graph, the utterances, and each one's gold speaker if there are any.
    """
    graph = Graph(options.out / "graph", options.threads)
    store_vectors(graph, options.embeddings, settings)
    utterances = graph.utterances()
    return graph, utterances, options.utt2spk and speakers_of(utterances, options.utt2spk)


def cluster_means(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean vector of each cluster, (clusters, dim) float64."""
    counts = np.bincount(labels[labels != OUTLIER])
    means = np.zeros((len(counts), vectors.shape[1]))
    for start in range(0, len(labels), BLOCK):
        of = labels[start : start + BLOCK]
        inliers = np.flatnonzero(of != OUTLIER)
        member = csr_array(
            (np.ones(len(inliers)), (of[inliers], inliers)), shape=(len(counts), len(of))
        )
        means += member @ vectors[start : start + BLOCK].astype(np.float64)
    return means / counts[:, None]


def nearest_clusters(
    graph: Graph, labels: np.ndarray, means: np.ndarray, metric: str
) -> np.ndarray:
    """Find the cluster of the nearest mean for each outlier.

    Args:
        graph: of the utterances.
        labels: (utterances,) cluster or OUTLIER.
        means: (clusters, dim) of each cluster.
        metric: of the clustering; by cosine, means have the length of the vectors, 1.
    Returns:
        (utterances,) labels, without OUTLIER unless there are no clusters.
    """
    settled, outliers = labels.copy(), np.flatnonzero(labels == OUTLIER)
    if not len(means):
        return settled
    means = means.astype(np.float32)
    if metric == "cosine":
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    vectors = graph.vectors()

    def search(some: np.ndarray) -> np.ndarray:
        if metric in ("cosine", "euclidean"):
            return nearest_centroids(vectors[some], means, 1)[:, 0]
        return cdist(vectors[some], means, metric).argmin(axis=1)

    chunks = [outliers[start : start + CHUNK] for start in range(0, len(outliers), CHUNK)]
    found = graph.map("nearest clusters", search, chunks, [len(some) for some in chunks])
    for some, nearest in zip(chunks, found, strict=True):
        settled[some] = nearest
    return settled


def speaker_names(labels: np.ndarray, clusters: int, first_outlier: int = 0) -> list[str]:
    """Name each utterance's speaker: its cluster c00000…, an outlier o000000….

    Args:
        labels: (utterances,) cluster or OUTLIER.
        clusters: how many there are in all.
        first_outlier: number of the first.
    Returns:
        names, all of a kind of one length, so that utterances prefixed with them sort by speaker.
    """
    outliers = itertools.count(first_outlier)
    width = max(6, len(str(first_outlier + len(labels))))
    return [
        f"o{next(outliers):0{width}d}" if label == OUTLIER else cluster_name(label, clusters)
        for label in labels.tolist()
    ]


def cluster_name(number: int, clusters: int) -> str:
    """Name of one of so many clusters; NOWHERE for OUTLIER."""
    return NOWHERE if number == OUTLIER else f"c{number:0{max(5, len(str(clusters)))}d}"


def settle_outliers(
    clusters: Mapping[str, str], outliers: Mapping[str, str], policy: str, source: str | Path
) -> dict[str, str]:
    """Do with the outliers what the user wants.

    Args:
        clusters: {utterance: speaker}.
        outliers: {outlier: nearest cluster}, see `read_outliers`.
        policy: "own" leaves `clusters` as they are, where each is a speaker of its own; "nearest"
            gives it the nearest cluster, if there is any; "leave-out" drops it.
        source: where the clusters come from, for the error message.
    Raises:
        UnspeechError: when nobody would be left.
    """
    if policy == "own":
        return dict(clusters)
    inliers = {u: name for u, name in clusters.items() if u not in outliers}
    if policy == "nearest":
        # Without any cluster there is none to join.
        nowhere = {u for u, nearest in outliers.items() if nearest == NOWHERE}
        inliers |= {u: nearest for u, nearest in outliers.items() if u not in nowhere}
        inliers |= {u: clusters[u] for u in nowhere if u in clusters}
    if not inliers:
        raise UnspeechError(
            f"{source}: every utterance is an outlier; use --outliers own, or settings for smaller "
            "clusters"
        )
    return inliers


def read_outliers(directory: Path) -> dict[str, str]:
    """Read which utterances of a clusters directory are outliers: {outlier: nearest cluster}.

    Raises:
        UnspeechError: when the directory does not say it.
    """
    path = directory / "outliers"
    if not path.exists():
        raise UnspeechError(f"{path}: no such file; cluster again, by steps_unspeech/cluster.sh")
    return read_table(path) if path.stat().st_size else {}


def read_clusters(directory: Path) -> tuple[dict[str, str], set[str]]:
    """Read a clusters directory, with what a listener has corrected.

    Returns:
        ({utterance: speaker}, the outliers that are in no cluster: each a speaker of its own, or
        left out).
    """
    corrected = read_corrected(directory, read_outliers(directory))
    clusters, outliers = corrected.utt2spk, corrected.outliers
    return clusters, {u for u, nearest in outliers.items() if clusters.get(u) != nearest}


def speakers_of_clusters(directory: Path) -> dict[str, str] | None:
    """{cluster: speaker} by a listener's corrections, without clusters of nobody; None without any.

    Where a cluster was parted, it is the speaker of most of its members.
    """
    if not (directory / CORRECTIONS).exists():
        return None
    return read_corrected(directory, read_outliers(directory)).now


def with_everyone(corrected: Corrected) -> dict[str, str]:
    """{utterance: speaker}, with a name of its own for each utterance that is of no speaker."""
    alone = [name[1:] for name in corrected.utt2spk.values() if name[:1] == "o"]
    count = len(corrected.utt2spk) + len(corrected.nobody)
    count = max([count, *(int(n) + 1 for n in alone if n.isascii() and n.isdecimal())])
    names = speaker_names(np.full(len(corrected.nobody), OUTLIER), 0, first_outlier=count)
    return corrected.utt2spk | dict(zip(corrected.nobody, names, strict=True))


def write_clusters(
    out: Path,
    utterances: list[str],
    labels: np.ndarray,
    nearest: np.ndarray,
    probabilities: np.ndarray,
    clusters: int,
    settings: dict,
    gold: list[str] | None,
    first_outlier: int = 0,
    speakers: Mapping[str, str] | None = None,
) -> None:
    """Write a clusters directory, `clusters.json` last; corrections that are there are kept.

    Args:
        labels: (utterances,) cluster or OUTLIER, before the policy for outliers.
        nearest: (utterances,) the same with the nearest cluster of each outlier.
        probabilities: (utterances,).
        clusters: how many there are in all.
        settings: to be kept in `clusters.json`; `outliers` is the policy for outliers.
        gold: speaker of each utterance, for `scores.json`.
        first_outlier: number of the first.
        speakers: {cluster: what it is called by now}, see `speakers_of_clusters`; a cluster that it
            lacks is not to be joined.
    Raises:
        UnspeechError: when there is no cluster to join, or nobody would be left.
    """
    names = dict(zip(utterances, speaker_names(labels, clusters, first_outlier), strict=True))
    outliers = {
        utterances[i]: cluster_name(nearest[i], clusters) for i in np.flatnonzero(labels == OUTLIER)
    }
    if speakers is not None:
        names = {u: speakers.get(name, name) for u, name in names.items()}
        outliers = {u: speakers.get(name, NOWHERE) for u, name in outliers.items()}
    policy, corrected = settings["outliers"], None
    if (out / CORRECTIONS).exists():
        # The policy is for outliers that no listener has dealt with.
        left = correct(out, names, outliers).outliers
        left = {u: nearest for u, nearest in outliers.items() if u in left}
        found = settle_outliers(names, left, policy, settings["embeddings"])
        corrected = correct(out, found, outliers)
        write_table(out / UNCORRECTED, found)
        utt2spk = with_everyone(corrected)
    else:
        utt2spk = settle_outliers(names, outliers, policy, settings["embeddings"])
    write_table(out / "utt2spk", utt2spk)
    write_table(out / "spk2utt", invert(utt2spk))
    if corrected is None:
        (out / UNCORRECTED).unlink(missing_ok=True)
    write_table(out / "outliers", outliers)
    write_table(
        out / "probabilities",
        {u: f"{p:.4f}" for u, p in zip(utterances, probabilities.tolist(), strict=True)},
    )
    if gold:
        speakers = np.array([utt2spk.get(u, f"left out: {u}") for u in utterances])
        left = corrected.outliers if corrected else outliers
        alone = sum(utt2spk.get(u) != name for u, name in left.items())
        alone += len(corrected.nobody) if corrected else 0
        with atomic_write(out / "scores.json") as file:
            json.dump(clustering_scores(np.array(gold), speakers, alone), file, indent=2)
    command = ["python3", "-m", f"unspeech.{Path(sys.argv[0]).stem}", *sys.argv[1:]]
    summary = {
        "utterances": len(utterances),
        "clusters": len(np.unique(labels[labels != OUTLIER])),
        "outliers": len(outliers),
        "vectors": vectors_key(out),
        "settings": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in settings.items()
        }
        | {"command": shlex.join(command)},
    }
    with atomic_write(out / "clusters.json") as file:
        json.dump(summary, file, indent=2)
    counts = f"{summary['clusters']} clusters, {len(outliers)} outliers"
    print(f"{out}: {counts} of {len(utterances)} utterances")
