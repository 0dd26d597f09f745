"""Clusters that keep together and apart what a listener has said.

In: the spanning tree of the utterances, pairs of one speaker, pairs of two.
Out: a tree in which the former are neighbours, and clusters cut where they hold the latter.
Source: after D. Klein, S. Kamvar, C. Manning, "From instance-level constraints to space-level
constraints", ICML 2002.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unspeech.clustering.hierarchy import Clustering, in_order
from unspeech.clustering.spanning_tree import Edges

Pairs = Sequence[tuple[int, int]]


class _Groups:
    """Utterances that are joined group by group, but never two groups that are to stay apart."""

    def __init__(self, count: int, different: Pairs = ()) -> None:
        self._parents = list(range(count))
        self._foes: dict[int, set[int]] = {}
        for a, b in different:
            self._foes.setdefault(a, set()).add(b)
            self._foes.setdefault(b, set()).add(a)

    def find(self, node: int) -> int:
        parents = self._parents
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    def join(self, a: int, b: int) -> bool:
        """Join the groups of two utterances; says whether they were two and may be one."""
        a, b = self.find(a), self.find(b)
        if a == b or b in self._foes.get(a, ()):
            return False
        if len(self._foes.get(a, ())) > len(self._foes.get(b, ())):
            a, b = b, a
        self._parents[a] = b
        for foe in self._foes.pop(a, ()):
            self._foes[foe].discard(a)
            self._foes[foe].add(b)
            self._foes.setdefault(b, set()).add(foe)
        return True


def bring_together(tree: Edges, same: Pairs) -> Edges:
    """A spanning tree, in order, in which the utterances of a pair are neighbours.

    Their distance is what each has from its nearest neighbour at least: nearer, they would be a
    dense place of their own within their speaker.
    """
    count = len(tree.rows) + 1
    nearest = np.full(count, np.inf)
    for ends in (tree.rows, tree.columns):
        np.minimum.at(nearest, ends, tree.lengths)
    first, second = np.array(same, np.int32).reshape(-1, 2).T
    edges = Edges(first, second, np.maximum(nearest[first], nearest[second])) + tree
    edges = edges[np.argsort(edges.lengths, kind="stable")]
    groups = _Groups(count)
    ends = zip(edges.rows.tolist(), edges.columns.tolist(), strict=True)
    return edges[np.array([groups.join(a, b) for a, b in ends], bool)]


def cut_apart(found: Clustering, tree: Edges, same: Pairs, different: Pairs) -> Clustering:
    """Cut the clusters that hold pairs of two speakers; all others stay as they are.

    A cluster is put together again along the tree, pairs of one speaker first, but for joins that
    would hold a pair of two. Where they contradict each other, those of one speaker count.

    Args:
        tree: see `bring_together`.
    """
    labels = found.labels.copy()
    held = [(a, b) for a, b in different if labels[a] == labels[b] >= 0]
    origins = list(range(len(found.births)))
    to_cut = sorted({int(labels[a]) for a, _ in held})
    concerned = np.flatnonzero(np.isin(found.labels, to_cut))
    homes = found.labels[tree.rows]
    inside = tree[(homes == found.labels[tree.columns]) & np.isin(homes, to_cut)]
    homes = found.labels[inside.rows]
    for cluster in to_cut:
        members = concerned[found.labels[concerned] == cluster]
        place = {member: i for i, member in enumerate(members.tolist())}
        pairs = [(place[a], place[b]) for a, b in held if found.labels[a] == cluster]
        edges = inside[homes == cluster]
        ends = [
            (place[a], place[b])
            for a, b in zip(edges.rows.tolist(), edges.columns.tolist(), strict=True)
        ]
        groups = _Groups(len(members))
        for a, b in same:
            if a in place and b in place:
                groups.join(place[a], place[b])
        pairs = [(groups.find(a), groups.find(b)) for a, b in pairs]
        roots = [groups.find(i) for i in range(len(members))]
        groups = _Groups(len(members), [(a, b) for a, b in pairs if a != b])
        for a, b in ends:
            groups.join(roots[a], roots[b])
        parts = np.array([groups.find(root) for root in roots])
        kinds, sizes = np.unique(parts, return_counts=True)
        for kind in kinds[np.argsort(-sizes, kind="stable")][1:].tolist():
            labels[members[parts == kind]] = len(origins)
            origins.append(cluster)
    labels, order = in_order(labels)
    which = np.array(origins, int)[order]
    return replace(
        found,
        labels=labels,
        stabilities=found.stabilities[which],
        births=found.births[which],
        deaths=found.deaths[which],
    )
