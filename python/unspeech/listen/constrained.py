"""Single linkage that keeps together and apart what a listener has said.

In: the spanning tree of the utterances, pairs of one speaker, pairs of two.
Out: a linkage in which the former join first, and no others than the topmost joins hold the latter.
Source: Klein, Kamvar, Manning, "From instance-level constraints to space-level constraints", 2002,
with Kruskal's algorithm in place of complete linkage.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.cluster._hierarchical_fast import single_linkage_label

Pairs = Sequence[tuple[int, int]]
_FAR = 1e6  # times the longest edge: above it, nothing has a density


def constrained_linkage(
    rows: np.ndarray, columns: np.ndarray, lengths: np.ndarray, same: Pairs, different: Pairs
) -> np.ndarray:
    """Join the utterances along a spanning tree's edges.

    Pairs of one speaker go first. An edge that would join two groups of which a pair says that
    they are of two speakers is put off until all others are done.

    Args:
        rows, columns, lengths: (utterances - 1,) the tree's edges, in any order.
        same, different: pairs of utterances; where they contradict each other, `same` counts.
    Returns:
        (utterances - 1, 4) float64, as scipy's `linkage`.
    """
    order = np.argsort(lengths, kind="stable")
    count = len(rows) + 1
    parents = list(range(count))
    foes: dict[int, set[int]] = {}
    for a, b in different:
        foes.setdefault(a, set()).add(b)
        foes.setdefault(b, set()).add(a)

    def find(node: int) -> int:
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    def unite(a: int, b: int) -> None:
        if len(foes.get(a, ())) > len(foes.get(b, ())):
            a, b = b, a
        parents[a] = b
        for foe in foes.pop(a, ()):
            foes[foe].discard(a)
            foes[foe].add(b)
            foes.setdefault(b, set()).add(foe)

    edges, put_off = [], []
    for a, b in same:
        first, second = find(a), find(b)
        if first != second:
            unite(first, second)
            edges.append((a, b, 0.0))
    for group in list(foes):  # pairs that contradict: both ends are in one group by now
        foes.get(group, set()).discard(group)
    tree = zip(rows[order].tolist(), columns[order].tolist(), lengths[order].tolist(), strict=True)
    for a, b, length in tree:
        first, second = find(a), find(b)
        if first == second:
            continue
        if second in foes.get(first, ()):
            put_off.append((a, b, length))
            continue
        unite(first, second)
        edges.append((a, b, length))
    far = _FAR * max(float(lengths.max(initial=0)), 1e-6)
    for a, b, length in put_off:
        first, second = find(a), find(b)
        if first != second:
            parents[first] = second
            edges.append((a, b, far + length))
    return single_linkage_label(np.array(edges, np.float64))
