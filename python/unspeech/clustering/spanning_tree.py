"""Minimum spanning trees of mutual reachability distances, of all pairs or of a graph's edges.

Where the graph's edges would join components by an edge that need not be the shortest, `links` has
searched for their true nearest connections.
"""

from dataclasses import dataclass

import numpy as np
from hdbscan._hdbscan_linkage import mst_linkage_core
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.metrics import pairwise_distances

from unspeech.clustering.graph import Graph


@dataclass(frozen=True)
class Edges:
    """Undirected edges between utterances."""

    rows: np.ndarray  # (edges,) int32
    columns: np.ndarray  # (edges,) int32
    lengths: np.ndarray  # (edges,) float64

    def __add__(self, other: "Edges") -> "Edges":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Edges(*(np.concatenate(pair) for pair in pairs))

    def __getitem__(self, which: np.ndarray) -> "Edges":
        return Edges(*(array[which] for array in vars(self).values()))


def spanning_tree(graph: Graph, min_samples: int) -> Edges:
    """The minimum spanning tree of mutual reachability on a graph whose links are complete."""
    ids, distances, core = neighbours_of(graph, min_samples)
    arrays = graph.load_all(graph.folder / "links.npz")
    links = Edges(arrays["rows"], arrays["columns"], arrays["lengths"].astype(np.float64))
    edges = known_forest(ids, distances, core) + mutual_reachability(links, core)
    return spanning_forest(distinct(edges, len(core)), len(core))


def exact_spanning_tree(vectors: np.ndarray, min_samples: int, metric: str) -> Edges:
    """The minimum spanning tree of mutual reachability of few vectors, from all distances.

    Args:
        metric: one of scikit-learn's.
    """
    reach = pairwise_distances(np.asarray(vectors, np.float64), metric=metric)
    norms = np.linalg.norm(vectors, axis=1)
    for row, norm in zip(reach, norms, strict=True):  # copies are apart by rounding
        row[row < 1e-7 * np.maximum(norms, norm)] = 0
    core = np.array([np.partition(row, min_samples)[min_samples] for row in reach])
    for cores in (core, core[:, None]):  # in place: the matrix is what memory goes to
        np.maximum(reach, cores, out=reach)
    rows, columns, lengths = mst_linkage_core(reach).T
    return Edges(rows.astype(np.int32), columns.astype(np.int32), lengths)


def neighbours_of(graph: Graph, min_samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The graph's neighbours and distances, and each utterance's core distance."""
    ids, distances = graph.load("ids"), graph.load("distances")
    return ids, distances, distances[:, min_samples - 1].astype(np.float64)


def known_forest(ids: np.ndarray, distances: np.ndarray, core: np.ndarray) -> Edges:
    """Minimum spanning forest of the neighbour graph, by parts to bound the memory."""
    count = len(ids)
    forest = Edges(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0))
    step = 1 << 21
    for start in range(0, count, step):
        columns = ids[start : start + step]
        rows = np.arange(start, start + len(columns), dtype=np.int32)[:, None]
        # An edge that is in both lists is needed once; where one list lacks it, it is longer.
        kept = columns >= 0
        edges = Edges(
            np.broadcast_to(rows, columns.shape)[kept],
            columns[kept],
            distances[start : start + step][kept].astype(np.float64),
        )
        forest = spanning_forest(forest + mutual_reachability(edges, core), count)
    return forest


def mutual_reachability(edges: Edges, core: np.ndarray) -> Edges:
    """Replace distances by mutual reachability distances."""
    reach = np.maximum(core[edges.rows], core[edges.columns])
    return Edges(edges.rows, edges.columns, np.maximum(reach, edges.lengths))


def spanning_forest(edges: Edges, count: int) -> Edges:
    """Minimum spanning forest. No edge is given twice."""
    weights = np.maximum(edges.lengths, _ZERO)
    matrix = csr_array((weights, (edges.rows, edges.columns)), shape=(count, count))
    tree = coo_array(minimum_spanning_tree(matrix))
    lengths = np.where(tree.data > _ZERO, tree.data, 0)
    return Edges(tree.row.astype(np.int32), tree.col.astype(np.int32), lengths)


_ZERO = 1e-12  # length of an edge between copies, since scipy takes 0 for no edge


def distinct(edges: Edges, count: int) -> Edges:
    return edges[np.unique(edges.rows * np.int64(count) + edges.columns, return_index=True)[1]]


def adjacency(edges: Edges, count: int) -> csr_array:
    ones = np.ones(len(edges.rows), np.int8)
    return csr_array((ones, (edges.rows, edges.columns)), shape=(count, count))
