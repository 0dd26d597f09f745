"""Phase `links` of the graph: nearest connections between its components."""

from collections.abc import Iterator

import numpy as np
from scipy.sparse.csgraph import connected_components
from sklearn.cluster._hierarchical_fast import single_linkage_label

from unspeech.clustering.graph import PROBES, Graph
from unspeech.clustering.inverted_lists import nearest_centroids
from unspeech.clustering.spanning_tree import (
    Edges,
    adjacency,
    distinct,
    known_forest,
    mutual_reachability,
    neighbours_of,
    spanning_forest,
)
from unspeech.files.atomic import atomic_write

LINK_SAMPLES = 5  # min_samples by which missing links are looked for, whatever it is later
LINKS = 8  # links of an utterance to others outside its component
_ROUNDING = 1e-5  # of distances in float32
ROUNDS = 3  # searches for links; afterwards only for components that have none


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
        forest = known_forest(ids, distances, core)
        # No edge that is not known yet is shorter than this, for each utterance.
        bounds = np.maximum(core, distances[:, -1])
        links = []
        for turn in range(100):
            if turn < ROUNDS:
                components, shortest = _components(forest, bounds)
            else:
                parts, components = connected_components(adjacency(forest, len(core)), False)
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
            forest = spanning_forest(
                distinct(forest + mutual_reachability(found, core), len(core)), len(core)
            )
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
    parts, labels = connected_components(adjacency(edges, count), directed=False)
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
    components = connected_components(adjacency(edges[certain], count), directed=False)[1]
    shortest = np.full(components.max() + 1, np.inf)
    for side in (edges.rows, edges.columns):
        np.minimum.at(shortest, components[side[~certain]], edges.lengths[~certain])
    return components, shortest


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
        turn: each visits twice as many lists as the one before.
    """
    vectors, centroids = graph.vectors(), graph.centroids()
    lists, nearest = graph.inverted_lists(), graph.nearest_lists()
    visits = min(PROBES << turn, len(centroids))
    size = max(1, graph.search_size() * PROBES // visits)
    owners, radii = lists.owners(components), lists.radii(centroids) if turn else None

    def search(some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own = vectors[some]
        visited = nearest_centroids(own, centroids, visits) if turn else nearest[some]
        futile = owners[visited] == components[some, None]
        if turn:  # nothing in the list can be as near as what is wanted
            away = np.linalg.norm(own[:, None] - centroids[visited], axis=2) - radii[visited]
            futile |= away > limits[some, None] + _ROUNDING
        likeliest = np.argsort(futile, axis=1, kind="stable")
        visited = np.take_along_axis(np.where(futile, -1, visited), likeliest, axis=1)
        apart = components[some], components
        return lists.search(own, visited, LINKS, apart, limits[some] if turn else None)

    chunks = [queries[start : start + size] for start in range(0, len(queries), size)]
    results = graph.map(f"links, round {turn + 1}", search, chunks, [len(some) for some in chunks])
    for some, (ids, lengths) in zip(chunks, results, strict=True):
        least = np.minimum(lengths[:, -1], limits[some] if turn else np.inf)
        nothing = (ids[:, 0] < 0) & np.isinf(least)  # more lists may hold something
        bounds[some] = np.where(nothing, bounds[some], np.maximum(core[some], least))
        found = ids >= 0
        rows = np.broadcast_to(some[:, None], ids.shape)[found].astype(np.int32)
        yield rows, ids[found], lengths[found].astype(np.float64)
