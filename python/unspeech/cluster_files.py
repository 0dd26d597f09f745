"""What the clustering programs share: their input, and the clusters directory that they leave."""

import json
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from unspeech.cells import nearest_centroids
from unspeech.errors import UnspeechError
from unspeech.neighbours import BLOCK, CHUNK, Graph, store_vectors
from unspeech.options import OptionParser
from unspeech.scores import clustering_scores
from unspeech.tables import atomic_write, invert, speakers_of, write_table

OUTLIER = -1  # label
ALL_OUTLIERS = "every utterance is an outlier; use --outliers own, or settings for smaller clusters"
_OUTLIER_NAME = re.compile(r"(o\d{6,})?")


def clusters_parser(description: str) -> OptionParser:
    """A parser of the options that all these programs have."""
    parser = OptionParser(description)
    parser.add_argument("--embeddings", required=True, help="directory, scp or ark of vectors")
    parser.add_argument("--out", required=True, type=Path, help="clusters directory")
    parser.add_argument(
        "--utt2spk",
        type=lambda path: None if path == "none" else path,
        help="gold speakers, for scores only; none: no scores",
    )
    return parser


def add_outliers_option(parser: OptionParser) -> None:
    parser.add_argument(
        "--outliers",
        choices=["own", "nearest", "leave-out"],
        default="own",
        help="a speaker each, the nearest cluster, or left out",
    )


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


def nearest_cluster(
    vectors: np.ndarray, labels: np.ndarray, means: np.ndarray | None = None
) -> np.ndarray:
    """Give each outlier the cluster whose mean is nearest.

    Args:
        vectors: (utterances, dim).
        labels: (utterances,) cluster or OUTLIER.
        means: (clusters, dim) of each cluster; by default of these utterances.
    Returns:
        (utterances,) labels without OUTLIER.
    Raises:
        UnspeechError: when there are no clusters.
    """
    if means is None:
        means = cluster_means(vectors, labels)
    if not len(means):
        raise UnspeechError(ALL_OUTLIERS)
    means, settled = means.astype(np.float32), labels.copy()
    outliers = np.flatnonzero(labels == OUTLIER)
    for start in range(0, len(outliers), CHUNK):
        some = outliers[start : start + CHUNK]
        settled[some] = nearest_centroids(vectors[some], means, 1)[:, 0]
    return settled


def name_speakers(
    labels: np.ndarray,
    clusters: int,
    fate: str,
    vectors: np.ndarray,
    means: np.ndarray | None = None,
    first_outlier: int = 0,
) -> list[str]:
    """Name each utterance's speaker: its cluster c00000…, or what becomes of an outlier.

    Args:
        labels: (utterances,) cluster or OUTLIER.
        clusters: how many there are in all.
        fate: of outliers: "own", a speaker o000000… each; "nearest", the nearest cluster;
            "leave-out", no name: "".
        vectors, means: for "nearest", see `nearest_cluster`.
        first_outlier: number of the first.
    Returns:
        names, all of a kind of one length, so that utterances prefixed with them sort by speaker.
    Raises:
        UnspeechError: when there is no cluster to join, or nobody would be left.
    """
    if fate == "nearest":
        labels = nearest_cluster(vectors, labels, means)
    alone = labels == OUTLIER
    if fate == "leave-out" and alone.all():
        raise UnspeechError(ALL_OUTLIERS)
    width, outlier_width = max(5, len(str(clusters))), max(6, len(str(first_outlier + len(labels))))
    outlier = "" if fate == "leave-out" else f"o{{:0{outlier_width}d}}"
    cluster = f"c{{:0{width}d}}"
    numbers = np.where(alone, first_outlier + np.cumsum(alone) - 1, labels)
    return [
        (outlier if one else cluster).format(number)
        for number, one in zip(numbers.tolist(), alone.tolist(), strict=True)
    ]


def is_outlier(speaker: str) -> bool:
    """Whether a speaker of a clusters directory stands for an outlier; "" is one left out."""
    return _OUTLIER_NAME.fullmatch(speaker) is not None


def write_clusters(
    out: Path,
    utterances: list[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
    names: list[str],
    settings: dict,
    gold: list[str] | None,
) -> None:
    """Write a clusters directory, `clusters.json` last.

    Args:
        labels: (utterances,) cluster or OUTLIER, before outliers meet their fate.
        probabilities: (utterances,).
        names: of each utterance's speaker; empty for one that is left out.
        settings: to be kept in `clusters.json`.
        gold: speaker of each utterance, for `scores.json`.
    """
    utt2spk = {u: name for u, name in zip(utterances, names, strict=True) if name}
    write_table(out / "utt2spk", utt2spk)
    write_table(out / "spk2utt", invert(utt2spk))
    write_table(
        out / "probabilities",
        {u: f"{p:.4f}" for u, p in zip(utterances, probabilities.tolist(), strict=True)},
    )
    outliers = int(np.sum(labels == OUTLIER))
    if gold:
        alone = np.array([is_outlier(name) for name in names])
        grouped = np.unique(names, return_inverse=True)[1]
        grouped[alone] = len(names) + np.arange(np.sum(alone))
        with atomic_write(out / "scores.json") as file:
            json.dump(clustering_scores(np.array(gold), grouped, int(alone.sum())), file, indent=2)
    command = ["python3", "-m", f"unspeech.{Path(sys.argv[0]).stem}", *sys.argv[1:]]
    summary = {
        "utterances": len(utterances),
        "clusters": len(np.unique(labels[labels != OUTLIER])),
        "outliers": outliers,
        "settings": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in settings.items()
        }
        | {"command": shlex.join(command)},
    }
    with atomic_write(out / "clusters.json") as file:
        json.dump(summary, file, indent=2)
    counts = f"{summary['clusters']} clusters, {outliers} outliers of {len(utterances)} utterances"
    print(f"{out}: {counts}")
