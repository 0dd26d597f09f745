"""Let new utterances join an existing clustering, which stays as it is.

Of HDBSCAN, a new utterance joins the cluster of the member that it reaches most easily, unless the
cluster had not split from others yet at that distance: then it is an outlier. Of DBSCAN, it joins
the cluster of the nearest core within `--dbscan-eps`.
Source: McInnes, Healy, Astels, "hdbscan", JOSS 2017: its `approximate_predict`.
"""

from collections.abc import Callable

import numpy as np
from sklearn.neighbors import NearestNeighbors

from unspeech.clustering.directory import OUTLIER
from unspeech.clustering.graph import CHUNK, PROBES, Graph
from unspeech.clustering.inverted_lists import nearest_centroids
from unspeech.clustering.neighbours import NEIGHBOURS

Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]  # as of `InvertedLists.search`


def search_in_lists(graph: Graph, among: np.ndarray | None = None) -> Search:
    """A search for neighbours among a graph's vectors, in the inverted lists nearest to a query.

    Args:
        among: (vectors,) bool, which of them; None: all.
    """
    lists, centroids = graph.inverted_lists(), graph.centroids()
    visits = min(PROBES, len(centroids))

    def search(queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        # Neighbours are of another component than the query: 1, if the queries are 0.
        apart = None if among is None else (np.zeros(len(queries), bool), among)
        return lists.search(queries, nearest_centroids(queries, centroids, visits), count, apart)

    return search


def search_exactly(graph: Graph, settings: dict, among: np.ndarray | None = None) -> Search:
    """The same among all vectors, or those of some numbers, by any metric."""
    metric = "euclidean" if settings["metric"] == "cosine" else settings["metric"]
    vectors = graph.vectors() if among is None else graph.vectors()[among]
    index = NearestNeighbors(metric=metric, algorithm="brute").fit(vectors)

    def search(queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        distances, ids = index.kneighbors(queries, count)
        return (ids if among is None else among[ids]), distances

    return search


def assign(
    graph: Graph, members: dict[str, np.ndarray], new: Graph, settings: dict
) -> tuple[np.ndarray, np.ndarray]:
    """Find the cluster of each new vector.

    Args:
        graph: of the clustered vectors.
        members: `labels` and `core` of the clustered vectors, `births` and `deaths` of clusters.
        new: graph folder with the new vectors.
        settings: of the clustering.
    Returns:
        (new,) int64 cluster or OUTLIER; (new,) probability.
    """
    labels, core = members["labels"], members["core"]
    births, deaths = members["births"], members["deaths"]
    vectors, min_samples = new.vectors(), settings["min_samples"]
    count = min(max(NEIGHBOURS, min_samples), len(labels))
    if settings["algorithm"] == "approximate":
        neighbours, size = search_in_lists(graph), graph.search_size()
    else:
        neighbours, size = search_exactly(graph, settings), CHUNK

    def search(start: int) -> tuple[np.ndarray, np.ndarray]:
        ids, distances = neighbours(vectors[start : start + size], count)
        reach = np.maximum(np.maximum(distances, core[ids]), distances[:, min_samples - 1, None])
        reach[(labels[ids] == OUTLIER) | (ids < 0)] = np.inf
        nearest = reach.argmin(axis=1)
        rows = np.arange(len(ids))
        cluster = labels[ids[rows, nearest]]
        with np.errstate(divide="ignore"):
            density = 1 / reach[rows, nearest]
        joins = (density > 0) & (density >= births[cluster])
        with np.errstate(invalid="ignore"):
            probability = np.fmin(1, density / deaths[cluster])
        return np.where(joins, cluster, OUTLIER), np.where(joins, probability, 0)

    starts = range(0, len(vectors), size)
    results = list(new.map("assign", search, starts, [size] * len(starts)))
    return tuple(np.concatenate(arrays) for arrays in zip(*results, strict=True))


def assign_to_cores(
    graph: Graph, members: dict[str, np.ndarray], new: Graph, settings: dict
) -> tuple[np.ndarray, np.ndarray]:
    """The same of DBSCAN: the cluster of the nearest core, if that is near enough."""
    labels, eps = members["labels"], settings["dbscan_eps"]
    vectors, inner = new.vectors(), members["core"] <= eps
    if settings["algorithm"] == "approximate":
        search_cores, size = search_in_lists(graph, inner), graph.search_size()
    else:
        search_cores, size = search_exactly(graph, settings, np.flatnonzero(inner)), CHUNK

    def search(start: int) -> np.ndarray:
        ids, distances = search_cores(vectors[start : start + size], 1)
        joins = (ids[:, 0] >= 0) & (distances[:, 0] <= eps)
        return np.where(joins, labels[ids[:, 0]], OUTLIER)

    starts = range(0, len(vectors), size)
    found = np.concatenate(list(new.map("assign", search, starts, [size] * len(starts))))
    return found, (found != OUTLIER).astype(float)
