"""HDBSCAN on a nearest-neighbour graph: spanning tree, and the clusters that it makes.

The spanning tree of mutual reachability distances is taken from the graph's edges. Where that
would join components by an edge that need not be the shortest, their true nearest connections are
searched for and added to the graph. Condensing the tree, and selecting clusters from it, is
hdbscan's own code.
Source: Campello, Moulavi, Sander, "Density-based clustering based on hierarchical density
estimates", 2013; McInnes, Healy, "Accelerated hierarchical density based clustering", 2017.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import hdbscan
import numpy as np
from hdbscan._hdbscan_tree import compute_stability, condense_tree, get_clusters
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from sklearn.cluster._hierarchical_fast import single_linkage_label
from sklearn.metrics import pairwise_distances

from unspeech.cells import nearest_centroids
from unspeech.cluster_files import OUTLIER
from unspeech.neighbours import PROBES, Graph
from unspeech.tables import atomic_write

LINK_SAMPLES = 5  # min_samples by which missing links are looked for, whatever it is later
LINKS = 8  # links of an utterance to others outside its component
_ROUNDING = 1e-5  # of distances in float32
ROUNDS = 3  # searches for links; afterwards only for components that have none


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


def exact_clusters(vectors: np.ndarray, settings: Settings, metric: str) -> Clustering:
    """Cluster few vectors with all their distances, by a metric of scikit-learn."""
    model = hdbscan.HDBSCAN(
        min_cluster_size=settings.min_cluster_size,
        min_samples=settings.min_samples,
        cluster_selection_method=settings.method,
        cluster_selection_epsilon=settings.epsilon,
        metric=metric,
        algorithm="generic",
    )
    labels = model.fit_predict(np.asarray(vectors, np.float64))
    return _clustering(
        model.condensed_tree_.to_numpy(), labels, model.probabilities_, model.cluster_persistence_
    )


def exact_spanning_tree(vectors: np.ndarray, settings: Settings, metric: str) -> Edges:
    """The minimum spanning tree of mutual reachability of few vectors, from all distances."""
    distances = pairwise_distances(np.asarray(vectors, np.float64), metric=metric)
    core = np.partition(distances, settings.min_samples, axis=1)[:, settings.min_samples]
    reach = np.maximum(distances, np.maximum(core[:, None], core[None]))
    tree = coo_array(minimum_spanning_tree(np.maximum(reach, _ZERO)))
    return Edges(tree.row.astype(np.int32), tree.col.astype(np.int32), tree.data)


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


def single_linkage(graph: Graph, min_samples: int) -> np.ndarray:
    """The single-linkage tree of mutual reachability on a graph whose links are complete.

    Returns:
        (utterances - 1, 4) float64: the two nodes joined, distance, size, as scipy's `linkage`.
    """
    tree = spanning_tree(graph, min_samples)
    return _linkage(tree[np.argsort(tree.lengths, kind="stable")])


def spanning_tree(graph: Graph, min_samples: int) -> Edges:
    """The minimum spanning tree of mutual reachability on such a graph."""
    ids, distances, core = neighbours_of(graph, min_samples)
    arrays = graph.load_all(graph.folder / "links.npz")
    links = Edges(arrays["rows"], arrays["columns"], arrays["lengths"].astype(np.float64))
    edges = _known_forest(ids, distances, core) + _reach(links, core)
    return _forest(_distinct(edges, len(core)), len(core))


def neighbours_of(graph: Graph, min_samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The graph's neighbours and distances, and each utterance's core distance."""
    ids, distances = graph.load("ids"), graph.load("distances")
    return ids, distances, distances[:, min_samples - 1].astype(np.float64)


def _known_forest(ids: np.ndarray, distances: np.ndarray, core: np.ndarray) -> Edges:
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
        forest = _forest(forest + _reach(edges, core), count)
    return forest


def _reach(edges: Edges, core: np.ndarray) -> Edges:
    """Replace distances by mutual reachability distances."""
    reach = np.maximum(core[edges.rows], core[edges.columns])
    return Edges(edges.rows, edges.columns, np.maximum(reach, edges.lengths))


def _forest(edges: Edges, count: int) -> Edges:
    """Minimum spanning forest. No edge is given twice."""
    weights = np.maximum(edges.lengths, _ZERO)
    matrix = csr_array((weights, (edges.rows, edges.columns)), shape=(count, count))
    tree = coo_array(minimum_spanning_tree(matrix))
    lengths = np.where(tree.data > _ZERO, tree.data, 0)
    return Edges(tree.row.astype(np.int32), tree.col.astype(np.int32), lengths)


_ZERO = 1e-12  # length of an edge between copies, since scipy takes 0 for no edge


def _distinct(edges: Edges, count: int) -> Edges:
    return edges[np.unique(edges.rows * np.int64(count) + edges.columns, return_index=True)[1]]


def _linkage(tree: Edges) -> np.ndarray:
    """The single-linkage tree of a spanning tree whose edges are sorted by length."""
    return single_linkage_label(np.stack(list(vars(tree).values()), axis=1).astype(np.float64))


def find_links(graph: Graph) -> None:
    """Phase `links`: connect the graph's components by their nearest connections.

    In each round, every component looks for its nearest connection to the others, unless its
    shortest known one is no longer than any unknown one can be.
    """
    made_from = {"neighbours": graph.made_from("neighbours"), "links": LINKS, "rounds": ROUNDS}

    def make() -> None:
        ids, distances, core = neighbours_of(
            graph, min(LINK_SAMPLES, graph.made_from("neighbours")["neighbours"])
        )
        forest = _known_forest(ids, distances, core)
        # No edge that is not known yet is shorter than this, for each utterance.
        bounds = np.maximum(core, distances[:, -1])
        links = []
        for turn in range(100):
            if turn < ROUNDS:
                components, shortest = _components(forest, bounds)
            else:
                parts, components = connected_components(_matrix(forest, len(core)), False)
                shortest = np.full(parts, np.inf)
                bounds[:] = 0
            shortest[np.bincount(components).argmax()] = 0  # the others find theirs to it
            queries = np.flatnonzero(bounds < shortest[components])
            if not queries.size:
                break
            limits = shortest[components]
            links_found = _search_outside(graph, components, queries, limits, bounds, core, turn)
            found = Edges(*map(np.concatenate, zip(*links_found, strict=True)))
            links.append(found)
            forest = _forest(_distinct(forest + _reach(found, core), len(core)), len(core))
        edges = sum(links, forest[:0])
        with atomic_write(graph.folder / "links.npz", "wb") as file:
            np.savez(
                file,
                rows=edges.rows,
                columns=edges.columns,
                lengths=edges.lengths.astype(np.float32),
            )

    graph.phase("links", made_from, make)


def _components(forest: Edges, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Components joined by edges that are certain to be in the minimum spanning tree.

    An edge is if one of the two components that it joins has no shorter way out: all its known
    ways are longer, and so are all unknown ones, by the bounds of its members.

    Returns:
        (utterances,) component; (components,) length of its shortest edge that is not certain,
        infinite if it has none.
    """
    count = len(bounds)
    edges = forest[np.argsort(forest.lengths, kind="stable")]
    parts, labels = connected_components(_matrix(edges, count), directed=False)
    if parts > 1:  # joined for the tree's sake, by edges that are never certain
        first = np.unique(labels, return_index=True)[1].astype(np.int32)
        edges += Edges(first[:-1], first[1:], np.full(parts - 1, np.inf))
    linkage = single_linkage_label(
        np.stack([edges.rows, edges.columns, edges.lengths], 1).astype(np.float64)
    )
    left, right = linkage[:, 0].astype(np.int64), linkage[:, 1].astype(np.int64)
    least = bounds.tolist()
    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        least.append(min(least[a], least[b]))
    nodes = np.array(least)
    certain = edges.lengths <= np.maximum(nodes[left], nodes[right])
    certain &= np.isfinite(edges.lengths)
    components = connected_components(_matrix(edges[certain], count), directed=False)[1]
    shortest = np.full(components.max() + 1, np.inf)
    for side in (edges.rows, edges.columns):
        np.minimum.at(shortest, components[side[~certain]], edges.lengths[~certain])
    return components, shortest


def _matrix(edges: Edges, count: int) -> csr_array:
    ones = np.ones(len(edges.rows), np.int8)
    return csr_array((ones, (edges.rows, edges.columns)), shape=(count, count))


def _search_outside(
    graph: Graph,
    components: np.ndarray,
    queries: np.ndarray,
    limits: np.ndarray,
    bounds: np.ndarray,
    core: np.ndarray,
    turn: int,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield rows, columns and lengths of the nearest links out of components.

    Args:
        components: (utterances,).
        queries: utterances whose links are searched for.
        limits: (utterances,) length of the shortest way out that its component knows: after the
            first turn, only shorter ones are searched for.
        bounds: (utterances,) raised here for the queries.
        turn: each visits twice as many cells as the one before.
    """
    vectors, centroids = graph.vectors(), graph.centroids()
    cells, nearest = graph.cells(), graph.nearest_cells()
    visits = min(PROBES << turn, len(centroids))
    size = max(1, graph.search_size() * PROBES // visits)
    owners, radii = cells.owners(components), cells.radii(centroids) if turn else None

    def search(some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own = vectors[some]
        visited = nearest_centroids(own, centroids, visits) if turn else nearest[some]
        futile = owners[visited] == components[some, None]
        if turn:  # nothing in the cell can be as near as what is wanted
            away = np.linalg.norm(own[:, None] - centroids[visited], axis=2) - radii[visited]
            futile |= away > limits[some, None] + _ROUNDING
        likeliest = np.argsort(futile, axis=1, kind="stable")
        visited = np.take_along_axis(np.where(futile, -1, visited), likeliest, axis=1)
        apart = components[some], components
        return cells.search(own, visited, LINKS, apart, limits[some] if turn else None)

    chunks = [queries[start : start + size] for start in range(0, len(queries), size)]
    results = graph.map(f"links, round {turn + 1}", search, chunks, [len(some) for some in chunks])
    for some, (ids, lengths) in zip(chunks, results, strict=True):
        least = np.minimum(lengths[:, -1], limits[some] if turn else np.inf)
        nothing = (ids[:, 0] < 0) & np.isinf(least)  # more cells may hold something
        bounds[some] = np.where(nothing, bounds[some], np.maximum(core[some], least))
        found = ids >= 0
        rows = np.broadcast_to(some[:, None], ids.shape)[found].astype(np.int32)
        yield rows, ids[found], lengths[found].astype(np.float64)
