"""HDBSCAN: the hierarchy of a spanning tree, and the clusters that it makes.

Condensing the tree, and selecting clusters from it, is hdbscan's own code.
Source: Campello, Moulavi, Sander, "Density-based clustering based on hierarchical density
estimates", 2013; McInnes, Healy, "Accelerated hierarchical density based clustering", 2017.
"""

from dataclasses import dataclass

import numpy as np
from hdbscan._hdbscan_tree import compute_stability, condense_tree, get_clusters
from sklearn.cluster._hierarchical_fast import single_linkage_label

from unspeech.clustering.directory import OUTLIER
from unspeech.clustering.spanning_tree import Edges


@dataclass(frozen=True)
class Settings:
    """What HDBSCAN calls a cluster."""

    min_cluster_size: int
    min_samples: int  # neighbours of an utterance, itself not counted
    method: str  # "eom", the most stable clusters, or "leaf", the smallest
    epsilon: float  # distance below which clusters are not split


@dataclass(frozen=True)
class Clustering:
    """Flat clusters, numbered in the order of their first utterances."""

    labels: np.ndarray  # (utterances,) int64 cluster, or OUTLIER
    probabilities: np.ndarray  # (utterances,) that it belongs there; 0 for outliers
    stabilities: np.ndarray  # (clusters,)
    births: np.ndarray  # (clusters,) 1 / distance at which it splits from others
    deaths: np.ndarray  # (clusters,) 1 / distance at which its last members part


def tree_clusters(linkage: np.ndarray, settings: Settings) -> Clustering:
    """Condense a single-linkage tree and select clusters from it.

    Args:
        linkage: (utterances - 1, 4) as of `single_linkage`.
    """
    condensed = condense_tree(linkage, settings.min_cluster_size)
    flat = get_clusters(
        condensed,
        compute_stability(condensed),
        settings.method,
        cluster_selection_epsilon=settings.epsilon,
    )
    return _clustering(condensed, *flat)


def in_order(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number clusters in the order of their first utterances.

    Returns:
        (utterances,) labels; (clusters,) each one's place among the old ones.
    """
    clusters, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    inliers = clusters != OUTLIER
    order = np.argsort(first[inliers])
    rank = np.full(len(clusters), OUTLIER)
    rank[np.flatnonzero(inliers)[order]] = np.arange(len(order))
    return rank[inverse], order


def _clustering(
    condensed: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, stabilities: np.ndarray
) -> Clustering:
    labels, order = in_order(labels)
    is_point = condensed["child_size"] == 1
    points, nodes = condensed[is_point], condensed[~is_point]
    deaths = np.zeros(len(order))
    of = labels[points["child"]]
    finite = (of != OUTLIER) & np.isfinite(points["lambda_val"])  # copies have distance 0
    np.maximum.at(deaths, of[finite], points["lambda_val"][finite])
    # Beside copies, which never part, all others of their cluster would have no probability.
    with_copies = np.zeros(len(order) + 1, bool)
    with_copies[of[~np.isfinite(points["lambda_val"])]] = True
    with_copies[OUTLIER] = False
    beside = finite & with_copies[of]
    probabilities = probabilities.copy()
    probabilities[points["child"][beside]] = points["lambda_val"][beside] / deaths[of[beside]]
    # A cluster is the uppermost node all of whose points have one label.
    low = np.full(condensed["parent"].max() + 1, len(labels))
    high = np.full(len(low), OUTLIER)
    np.minimum.at(low, points["parent"], of)
    np.maximum.at(high, points["parent"], of)
    nodes = nodes[np.argsort(nodes["child"])]
    for parent, child in zip(nodes["parent"][::-1], nodes["child"][::-1], strict=True):
        low[parent] = min(low[parent], low[child])
        high[parent] = max(high[parent], high[child])
    births = np.zeros(len(order))
    pure = nodes[(low == high)[nodes["child"]] & (low[nodes["child"]] != OUTLIER)]
    births[low[pure["child"][::-1]]] = pure["lambda_val"][::-1]  # the uppermost is written last
    return Clustering(labels, probabilities, np.asarray(stabilities)[order], births, deaths)


def single_linkage(tree: Edges) -> np.ndarray:
    """The single-linkage tree of a spanning tree.

    Returns:
        (utterances - 1, 4) float64: the two nodes joined, distance, size, as scipy's `linkage`.
    """
    edges = tree[np.argsort(tree.lengths, kind="stable")]
    return single_linkage_label(np.stack(list(vars(edges).values()), axis=1).astype(np.float64))
