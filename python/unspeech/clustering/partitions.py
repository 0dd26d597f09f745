"""Clusters without a hierarchy: DBSCAN and k-means.

Source: Ester, Kriegel, Sander, Xu, "A density-based algorithm for discovering clusters", KDD 1996.
"""

import numpy as np
from scipy.cluster.hierarchy import fcluster
from sklearn.cluster import DBSCAN, KMeans
from threadpoolctl import threadpool_limits

from unspeech.clustering.directory import OUTLIER
from unspeech.clustering.graph import Graph
from unspeech.clustering.hierarchy import Clustering, in_order, single_linkage
from unspeech.clustering.spanning_tree import neighbours_of, spanning_tree


def dbscan_exact(vectors: np.ndarray, eps: float, min_samples: int, metric: str) -> Clustering:
    """DBSCAN with all distances, by a metric of scikit-learn.

    Args:
        eps: distance of neighbours.
        min_samples: neighbours that make an utterance a core of a cluster, itself not counted.
    """
    model = DBSCAN(eps=eps, min_samples=min_samples + 1, metric=metric, algorithm="brute")
    return _partition(model.fit_predict(np.asarray(vectors)), 1 / eps)


def dbscan_on_graph(graph: Graph, eps: float, min_samples: int) -> Clustering:
    """DBSCAN on a graph whose links are complete: its single-linkage tree, cut at `eps`.

    An utterance that is no core belongs to the nearest core within `eps`, if there is one.
    """
    ids, distances, core = neighbours_of(graph, min_samples)
    linkage = single_linkage(spanning_tree(graph, min_samples))
    labels = fcluster(linkage, eps, "distance").astype(np.int64)
    inner = core <= eps
    outer = np.flatnonzero(~inner)
    reached = (distances[outer] <= eps) & inner[ids[outer]] & (ids[outer] >= 0)
    nearest = ids[outer, reached.argmax(axis=1)]
    labels[outer] = np.where(reached.any(axis=1), labels[nearest], OUTLIER)
    return _partition(labels, 1 / eps)


def kmeans(vectors: np.ndarray, clusters: int, seed: int) -> Clustering:
    """K-means from the best of 10 starts by k-means++; nobody is an outlier."""
    with threadpool_limits(1):  # sums of several threads are rounded otherwise each time
        model = KMeans(clusters, n_init=10, random_state=seed).fit(np.asarray(vectors))
    return _partition(model.labels_.astype(np.int64), 0)


def _partition(labels: np.ndarray, density: float) -> Clustering:
    """Clusters that all begin and end at one density, 1 / distance."""
    labels, order = in_order(labels)
    same = np.full(len(order), density)
    return Clustering(labels, (labels != OUTLIER).astype(float), np.ones(len(order)), same, same)
