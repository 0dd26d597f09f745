"""The algorithms of clustering, exact or on a graph of nearest neighbours, by their settings."""

import argparse

import numpy as np
from sklearn.neighbors import NearestNeighbors

from unspeech.cli.errors import UnspeechError
from unspeech.clustering.constrained import Pairs, bring_together, cut_apart
from unspeech.clustering.graph import Graph, reported
from unspeech.clustering.hierarchy import (
    Clustering,
    Settings,
    single_linkage,
    tree_clusters,
)
from unspeech.clustering.links import find_links
from unspeech.clustering.neighbours import build_index, graph_width, join_blocks
from unspeech.clustering.options import EXACT_UP_TO
from unspeech.clustering.partitions import dbscan_exact, dbscan_on_graph, kmeans
from unspeech.clustering.spanning_tree import Edges, exact_spanning_tree, spanning_tree
from unspeech.corrections.corrected import read_constraints

EXACT_AT_MOST = 30_000  # with them, memory grows with the square: 7 GB
GRAPH_METRICS = ("cosine", "euclidean")


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


def utterance_tree(graph: Graph, min_samples: int, metric: str | None) -> Edges:
    """The minimum spanning tree of mutual reachability of what a graph's folder holds.

    Args:
        metric: of all distances; None: there is the graph.
    """
    with reported("tree"):
        if metric:
            return exact_spanning_tree(graph.vectors(), min_samples, metric)
        return spanning_tree(graph, min_samples)


def corrected_clusters(
    tree: Edges, settings: Settings, same: Pairs, different: Pairs
) -> Clustering:
    """Cluster so that pairs of one speaker stay together, and pairs of two apart."""
    print(f"Keeping {len(same)} pairs together and {len(different)} apart, as corrected")
    tree = bring_together(tree, same)
    return cut_apart(tree_clusters(single_linkage(tree), settings), tree, same, different)


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
        tree = utterance_tree(graph, options.min_samples, metric)
        with reported("clusters"):
            if same or different:
                return corrected_clusters(tree, settings, same, different)
            return tree_clusters(single_linkage(tree), settings)
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
