"""Cluster utterances into speakers, without labels.

    python3 -m unspeech.cluster --embeddings exp/embeddings/demo --out exp/clusters/demo

Leaves `utt2spk` (cluster of each utterance), `spk2utt`, `probabilities` (that an utterance belongs
to its cluster) and `clusters.json`; with gold speakers (`--utt2spk`) also `scores.json`.
Utterances that belong to no cluster are outliers; `outliers` names them and the nearest cluster of
each, whatever becomes of them in `utt2spk`. K-means has none. `members.npz` and the folder `graph`
are for `unspeech.assign`, and for clustering again with other settings. Corrections of a listener
in the output directory are kept: `utt2spk` has them, `uncorrected` what the clustering has found.
"""

import argparse

import numpy as np
from sklearn.neighbors import NearestNeighbors

from unspeech.cluster_files import (
    add_outliers_option,
    cluster_means,
    clusters_parser,
    nearest_clusters,
    read_input,
    write_clusters,
)
from unspeech.errors import UnspeechError, run_program
from unspeech.hierarchy import (
    Clustering,
    Settings,
    exact_clusters,
    exact_spanning_tree,
    find_links,
    single_linkage,
    spanning_tree,
    tree_clusters,
)
from unspeech.limits import COUNT, Number
from unspeech.listen.constrained import Pairs, bring_together, cut_apart, linkage_of
from unspeech.listen.corrected import read_constraints
from unspeech.neighbours import (
    Graph,
    add_graph_options,
    build_index,
    graph_width,
    join_blocks,
    reported,
)
from unspeech.partitions import dbscan_exact, dbscan_on_graph, kmeans
from unspeech.tables import atomic_write

EXACT_UP_TO = 2000  # utterances: so few take less than a second with all their distances
EXACT_AT_MOST = 30_000  # with them, memory grows with the square: 7 GB
GRAPH_METRICS = ("cosine", "euclidean")


def add_algorithm_options(parser: argparse.ArgumentParser) -> None:
    """How HDBSCAN finds and selects clusters, whatever their sizes."""
    parser.add_argument(
        "--algorithm",
        choices=["auto", "exact", "approximate"],
        default="auto",
        help=f"auto: exact up to {EXACT_UP_TO} utterances, and for metrics that have no graph",
    )
    parser.add_argument("--cluster-selection-method", choices=["eom", "leaf"], default="eom")
    parser.add_argument(
        "--cluster-selection-epsilon",
        type=Number(float, "[0, inf)"),
        default=0.0,
        help="distance below which clusters are not split",
    )
    add_graph_options(parser)


def make_graph(
    graph: Graph, options: argparse.Namespace, min_cluster_size: int, min_samples: int
) -> str | None:
    """Make the graph of stored vectors, or the phases of it that are missing.

    Args:
        options: with `embeddings`, for error messages, and those of `add_algorithm_options`.
        min_cluster_size, min_samples: the largest that it is for.
    Returns:
        None when there is a graph; else the metric by which all distances are to be taken.
    Raises:
        UnspeechError: when there are too few or too many utterances, or the settings do not fit.
    """
    count = len(graph.vectors())
    least = max(min_cluster_size, min_samples + 1)
    if count < least:
        raise UnspeechError(
            f"{options.embeddings}: {count} utterances; these settings need at least {least}: give "
            "more, or a smaller --min-cluster-size and --min-samples"
        )
    exact = options.algorithm == "exact" or options.metric not in GRAPH_METRICS
    if exact and options.algorithm == "approximate":
        raise UnspeechError(f"--algorithm approximate takes --metric {' or '.join(GRAPH_METRICS)}")
    if exact and count > EXACT_AT_MOST:
        raise UnspeechError(
            f"{options.embeddings}: {count} utterances; all their distances at once are for up to "
            f"{EXACT_AT_MOST}: use --algorithm auto with --metric {' or '.join(GRAPH_METRICS)}"
        )
    if exact or (options.algorithm == "auto" and count <= EXACT_UP_TO):
        return "euclidean" if options.metric == "cosine" else options.metric  # of unit vectors
    build_index(graph, options.seed)
    join_blocks(graph, graph_width(count, min_samples))
    find_links(graph)
    return None


def hdbscan_clusters(
    graph: Graph, settings: Settings, metric: str | None, linkage: np.ndarray | None = None
) -> Clustering:
    """Cluster what a graph's folder holds.

    Args:
        metric: of all distances; None: there is the graph.
        linkage: the graph's single-linkage tree, if it is known already.
    """
    if metric:
        with reported("clusters"):
            return exact_clusters(graph.vectors(), settings, metric)
    if linkage is None:
        with reported("tree"):
            linkage = single_linkage(graph, settings.min_samples)
    with reported("clusters"):
        return tree_clusters(linkage, settings)


def corrected_clusters(
    graph: Graph, settings: Settings, metric: str | None, same: Pairs, different: Pairs
) -> Clustering:
    """Cluster so that pairs of one speaker stay together, and pairs of two apart."""
    with reported("tree"):
        if metric:
            tree = exact_spanning_tree(graph.vectors(), settings, metric)
        else:
            tree = spanning_tree(graph, settings.min_samples)
        tree = bring_together(tree, same)
    with reported("clusters"):
        print(f"Keeping {len(same)} pairs together and {len(different)} apart, as corrected")
        return cut_apart(tree_clusters(linkage_of(tree), settings), tree, same, different)


def core_distances(graph: Graph, min_samples: int, metric: str | None) -> np.ndarray:
    """Distance of each utterance to its min_samples-th neighbour, (utterances,) float32."""
    if metric is None:
        return graph.load("distances")[:, min_samples - 1]
    search = NearestNeighbors(n_neighbors=min_samples, metric=metric, algorithm="brute")
    return search.fit(graph.vectors()).kneighbors()[0][:, -1].astype(np.float32)


def hdbscan_settings(
    options: argparse.Namespace, min_cluster_size: int, min_samples: int
) -> Settings:
    """Settings of HDBSCAN, those of `add_algorithm_options` among them."""
    return Settings(
        min_cluster_size,
        min_samples,
        options.cluster_selection_method,
        options.cluster_selection_epsilon,
    )


def density_clusters(graph: Graph, options: argparse.Namespace, metric: str | None) -> Clustering:
    """Cluster by HDBSCAN or DBSCAN, by the metric or, if it is None, on the graph."""
    if options.cluster_algorithm == "HDBSCAN":
        settings = hdbscan_settings(options, options.min_cluster_size, options.min_samples)
        same, different = read_constraints(options.out, graph.utterances())
        if same or different:
            return corrected_clusters(graph, settings, metric, same, different)
        return hdbscan_clusters(graph, settings, metric)
    with reported("clusters"):
        if metric:
            return dbscan_exact(graph.vectors(), options.dbscan_eps, options.min_samples, metric)
        return dbscan_on_graph(graph, options.dbscan_eps, options.min_samples)


def kmeans_clusters(graph: Graph, options: argparse.Namespace) -> Clustering:
    """Cluster by k-means."""
    count = len(graph.vectors())
    if options.n_clusters > count:
        raise UnspeechError(
            f"--n-clusters is {options.n_clusters}; it must lie between 1 and the {count} "
            f"utterances of {options.embeddings}"
        )
    with reported("clusters"):
        return kmeans(graph.vectors(), options.n_clusters, options.seed)


def main() -> None:
    parser = clusters_parser(__doc__)
    parser.add_argument(
        "--cluster-algorithm", choices=["HDBSCAN", "DBSCAN", "kmeans"], default="HDBSCAN"
    )
    parser.add_argument(
        "--min-cluster-size",
        type=Number(int, "[2, inf)"),
        default=5,
        help="utterances that make a cluster of HDBSCAN",
    )
    parser.add_argument(
        "--min-samples", type=COUNT, default=2, help="neighbours that make a dense place"
    )
    parser.add_argument(
        "--dbscan-eps",
        type=Number(float, "(0, inf)"),
        default=0.05,
        help="distance of neighbours, for DBSCAN",
    )
    parser.add_argument("--n-clusters", type=COUNT, default=42, help="for kmeans")
    add_algorithm_options(parser)
    add_outliers_option(parser, "nearest")
    options = parser.parse_args()

    print(f"Clustering {options.embeddings}, seed {options.seed}", flush=True)
    graph, utterances, gold = read_input(options, vars(options))
    metric, core = options.metric, np.empty(0)
    if options.cluster_algorithm == "kmeans":
        found = kmeans_clusters(graph, options)
    else:
        metric = make_graph(graph, options, options.min_cluster_size, options.min_samples)
        found = density_clusters(graph, options, metric)
        core = core_distances(graph, options.min_samples, metric)
    labels, clusters = found.labels, int(found.labels.max()) + 1
    with reported("outliers"):
        means = cluster_means(graph.vectors(), labels)
        nearest = nearest_clusters(graph, labels, means, options.metric)
    with reported("files"):
        with atomic_write(options.out / "members.npz", "wb") as file:
            np.savez(file, labels=labels, births=found.births, deaths=found.deaths, core=core)
        settings = {name: value for name, value in vars(options).items() if name != "threads"}
        settings["algorithm"] = "exact" if metric else "approximate"
        write_clusters(
            *(options.out, utterances, labels, nearest, found.probabilities),
            *(clusters, settings, gold),
        )


if __name__ == "__main__":
    run_program(main)
