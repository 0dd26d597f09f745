"""Cluster utterances into speakers, without labels.

    python3 -m unspeech.cluster --embeddings exp/embeddings/demo --out exp/clusters/demo

Leaves `utt2spk` (cluster of each utterance), `spk2utt`, `probabilities` (that an utterance belongs
to its cluster) and `clusters.json`; with gold speakers (`--utt2spk`) also `scores.json`.
Utterances that belong to no cluster are outliers. `members.npz` and the folder `graph` are for
`unspeech.assign`, and for clustering again with other settings.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

import faiss
import numpy as np
from scipy.sparse import csr_array

from unspeech.errors import UnspeechError, run_program
from unspeech.hierarchy import (
    OUTLIER,
    Clustering,
    exact_clusters,
    find_links,
    single_linkage,
    tree_clusters,
)
from unspeech.neighbours import (
    BLOCK,
    CHUNK,
    Graph,
    add_graph_options,
    build_index,
    graph_width,
    join_blocks,
    reported,
    store_vectors,
)
from unspeech.scores import clustering_scores
from unspeech.tables import atomic_write, invert, speakers_of, write_table

EXACT_UP_TO = 2000  # utterances: so few take less than a second with all their distances


def make_graph(
    graph: Graph,
    embeddings: str,
    options: argparse.Namespace,
    min_cluster_size: int,
    min_samples: int,
) -> bool:
    """Make the graph of stored vectors, or the phases of it that are missing.

    Args:
        embeddings: for error messages.
        options: with `algorithm` and `seed`.
        min_cluster_size, min_samples: the largest that it is for.
    Returns:
        False when the exact algorithm is to be used: there are the vectors only.
    Raises:
        UnspeechError: when there are too few utterances, or the settings do not fit.
    """
    count = len(graph.vectors())
    least = max(min_cluster_size, min_samples + 1)
    if count < least:
        raise UnspeechError(
            f"{embeddings}: {count} utterances; these settings need at least {least}: give more, "
            "or a smaller --min-cluster-size and --min-samples"
        )
    if options.algorithm == "exact" or (options.algorithm == "auto" and count <= EXACT_UP_TO):
        return False
    build_index(graph, options.seed)
    join_blocks(graph, graph_width(count, min_samples))
    find_links(graph)
    return True


def core_distances(graph: Graph, min_samples: int, approximate: bool) -> np.ndarray:
    """Distance of each utterance to its min_samples-th neighbour, (utterances,) float32."""
    if approximate:
        return np.load(graph.folder / "distances.npy", mmap_mode="r")[:, min_samples - 1]
    vectors = np.ascontiguousarray(graph.vectors())
    return np.sqrt(np.maximum(faiss.knn(vectors, vectors, min_samples + 1)[0][:, -1], 0))


def nearest_cluster(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Give each outlier the cluster whose mean is nearest.

    Args:
        vectors: (utterances, dim).
        labels: (utterances,) cluster or OUTLIER; at least one cluster.
    Returns:
        (utterances,) labels without OUTLIER.
    """
    return join_nearest(vectors, labels, cluster_means(vectors, labels))


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


def join_nearest(vectors: np.ndarray, labels: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Labels with each outlier put into the cluster of the nearest mean."""
    outliers = np.flatnonzero(labels == OUTLIER)
    settled = labels.copy()
    for start in range(0, len(outliers), CHUNK):
        some = outliers[start : start + CHUNK]
        score = vectors[some] @ means.T - 0.5 * np.square(means).sum(axis=1)
        settled[some] = score.argmax(axis=1)
    return settled


def speaker_names(
    labels: np.ndarray, clusters: int, leave_out: bool, first_outlier: int = 0
) -> list[str]:
    """Name clusters c00000…, and each outlier o000000… in turn, or "" when they are left out.

    All names of a kind have one length, so that utterances prefixed with them sort by speaker.
    """
    width = max(5, len(str(clusters)))
    is_outlier = labels == OUTLIER
    outlier_width = max(6, len(str(first_outlier + len(labels))))
    numbers = np.where(is_outlier, first_outlier + np.cumsum(is_outlier) - 1, labels)
    outlier = "" if leave_out else f"o{{:0{outlier_width}d}}"
    cluster = f"c{{:0{width}d}}"
    return [
        (outlier if alone else cluster).format(number)
        for number, alone in zip(numbers.tolist(), is_outlier.tolist(), strict=True)
    ]


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
        alone = np.array([name[:1] != "c" for name in names])
        grouped = np.unique(names, return_inverse=True)[1]
        grouped[alone] = len(names) + np.arange(np.sum(alone))
        with atomic_write(out / "scores.json") as file:
            json.dump(clustering_scores(np.array(gold), grouped, int(alone.sum())), file, indent=2)
    clusters = len(np.unique(labels[labels != OUTLIER]))
    command = ["python3", "-m", f"unspeech.{Path(sys.argv[0]).stem}", *sys.argv[1:]]
    summary = {
        "utterances": len(utterances),
        "clusters": clusters,
        "outliers": outliers,
        "settings": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in settings.items()
        }
        | {"command": shlex.join(command)},
    }
    with atomic_write(out / "clusters.json") as file:
        json.dump(summary, file, indent=2)
    print(f"{out}: {clusters} clusters, {outliers} outliers of {len(utterances)} utterances")


def add_outliers_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--outliers",
        choices=["own", "nearest", "leave-out"],
        default="own",
        help="a speaker each, the nearest cluster, or left out",
    )


def add_algorithm_options(parser: argparse.ArgumentParser) -> None:
    """How clusters are found and selected, whatever their sizes."""
    parser.add_argument(
        "--algorithm",
        choices=["auto", "exact", "approximate"],
        default="auto",
        help=f"auto: exact up to {EXACT_UP_TO} utterances",
    )
    parser.add_argument(
        *("--cluster-selection-method", "--cluster_selection_method"),
        choices=["eom", "leaf"],
        default="eom",
    )
    parser.add_argument(
        *("--cluster-selection-epsilon", "--cluster_selection_epsilon"),
        type=float,
        default=0.0,
        help="distance below which clusters are not split",
    )
    add_graph_options(parser)


def check_sizes(min_cluster_size: int, min_samples: int) -> None:
    """Raise UnspeechError for settings out of range."""
    if min_cluster_size < 2:
        raise UnspeechError(f"--min-cluster-size is {min_cluster_size}; at least 2")
    if min_samples < 1:
        raise UnspeechError(f"--min-samples is {min_samples}; at least 1")


def find_clusters(
    graph: Graph,
    approximate: bool,
    min_cluster_size: int,
    min_samples: int,
    method: str,
    epsilon: float,
    linkage: np.ndarray | None = None,
) -> Clustering:
    """Cluster what a graph's folder holds; `linkage` if it is known already."""
    if not approximate:
        with reported("clusters"):
            return exact_clusters(graph.vectors(), min_cluster_size, min_samples, method, epsilon)
    if linkage is None:
        with reported("tree"):
            linkage = single_linkage(graph, min_samples)
    with reported("clusters"):
        return tree_clusters(linkage, min_cluster_size, method, epsilon)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embeddings", required=True, help="directory, scp or ark of vectors")
    parser.add_argument("--out", required=True, type=Path, help="clusters directory")
    parser.add_argument("--utt2spk", help="gold speakers, for scores only")
    parser.add_argument(
        *("--min-cluster-size", "--min_cluster_size"),
        type=int,
        default=5,
        help="utterances that make a cluster",
    )
    parser.add_argument(
        *("--min-samples", "--min_samples"),
        type=int,
        default=2,
        help="neighbours that make a dense place",
    )
    add_algorithm_options(parser)
    add_outliers_option(parser)
    options = parser.parse_args()

    check_sizes(options.min_cluster_size, options.min_samples)
    graph = Graph(options.out / "graph", options.threads)
    print(f"Clustering {options.embeddings}, seed {options.seed}", flush=True)
    store_vectors(graph, options.embeddings, options.metric)
    utterances = graph.utterances()
    gold = speakers_of(utterances, options.utt2spk) if options.utt2spk else None
    approximate = make_graph(
        graph, options.embeddings, options, options.min_cluster_size, options.min_samples
    )
    found = find_clusters(
        graph,
        approximate,
        options.min_cluster_size,
        options.min_samples,
        options.cluster_selection_method,
        options.cluster_selection_epsilon,
    )
    labels = found.labels
    if options.outliers != "own" and (labels == OUTLIER).all():
        raise UnspeechError(
            f"{options.embeddings}: every utterance is an outlier; use --outliers own, or smaller "
            "settings"
        )
    settled = labels
    if options.outliers == "nearest":
        settled = nearest_cluster(graph.vectors(), labels)
    names = speaker_names(settled, int(labels.max()) + 1, options.outliers == "leave-out")
    with reported("files"):
        with atomic_write(options.out / "members.npz", "wb") as file:
            np.savez(
                file,
                labels=labels,
                births=found.births,
                deaths=found.deaths,
                core=core_distances(graph, options.min_samples, approximate),
            )
        settings = {name: value for name, value in vars(options).items() if name != "threads"}
        settings["algorithm"] = "approximate" if approximate else "exact"
        write_clusters(options.out, utterances, labels, found.probabilities, names, settings, gold)


if __name__ == "__main__":
    run_program(main)
