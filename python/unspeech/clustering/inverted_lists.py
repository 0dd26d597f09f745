"""Nearest neighbours by inverted lists: those of the vectors that have one nearest centroid.

An inverted file, as in J. Sivic, A. Zisserman, "Video Google", ICCV 2003, and faiss' IndexIVFFlat.
There each query runs through its lists alone, and memory is what it waits for. Here all queries of
a chunk that visit a list are compared with it by one matrix product.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_GROUP = 16  # values whose minimum stands for them in `_bounds`
_LARGEST = np.finfo(np.float32).max
_CROWD = 2  # times the neighbours wanted, found for a query in one list: look what is nearest first
_ROUNDING = 1e-5  # of squared distances by matrix products, for vectors of length 1
_TIES = 8  # times the neighbours wanted: beyond that many, all are as near, as exact copies are
_VALUES = 1 << 22  # distances to one list computed at once: a list of copies can be long
_ROWS = 1024  # queries whose neighbours' distances are computed at once


@dataclass(frozen=True)
class InvertedLists:
    """Vectors in the order of their lists."""

    vectors: np.ndarray  # (vectors, dim) float32
    members: np.ndarray  # (vectors,) number of each
    ends: np.ndarray  # (lists,) where each list ends

    def search(
        self,
        queries: np.ndarray,
        lists: np.ndarray,
        count: int,
        apart: tuple[np.ndarray, np.ndarray] | None = None,
        limits: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find each query's nearest vectors in some lists.

        Args:
            queries: (queries, dim) float32.
            lists: (queries, visits) lists to visit, the likeliest first; -1 for none.
            count: neighbours wanted.
            apart: component of each query, and of each vector by its number: neighbours must be
                of another one than the query.
            limits: (queries,) distance from which on neighbours are not wanted.
        Returns:
            (queries, count) int32 numbers and float32 distances, nearest first; -1 and infinity
            where the lists hold too few.
        """
        lengths = np.einsum("nd,nd->n", queries, queries)
        bounds = np.full(len(queries), _LARGEST, np.float32)
        if limits is not None:
            bounds = np.minimum(np.square(limits) + _ROUNDING - lengths, _LARGEST, dtype=np.float32)
        parts = []
        # What the likeliest list holds leaves little to be noted down of the others.
        for visited in (lists[:, :1], lists[:, 1:]):
            for number, visitors in _visits(visited):
                own = slice(self.ends[number - 1] if number else 0, self.ends[number])
                step = max(1, _VALUES // max(1, own.stop - own.start))
                for start in range(0, len(visitors), step):
                    some = visitors[start : start + step]
                    parts.append(self._near(queries, some, own, count, apart, bounds))
        rows, places, squares = map(np.concatenate, zip(*parts, strict=True))
        squares += lengths[rows]
        kept, ranks = _least(rows, np.maximum(squares, 0), len(queries), count)
        return self._exact(queries, rows[kept], places[kept], ranks, count)

    def _near(
        self,
        queries: np.ndarray,
        some: np.ndarray,
        own: slice,
        count: int,
        apart: tuple[np.ndarray, np.ndarray] | None,
        bounds: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vectors of one list that may be among some queries' nearest.

        Args:
            some: (visitors,) numbers of these queries.
            own: the list's place in `vectors`.
            bounds: (queries,) beyond which squared distances, less the square of the query, are not
                wanted; lowered here where the list holds enough.
        Returns:
            Number of the query, place of the vector and such a squared distance of each pair.
        """
        vectors = self.vectors[own]
        squares = (-2 * queries[some]) @ vectors.T
        squares += np.einsum("nd,nd->n", vectors, vectors)
        if apart:
            together = apart[0][some, None] == apart[1][self.members[own]]
            np.copyto(squares, np.inf, where=together)
        wanted = squares <= bounds[some, None]
        if np.count_nonzero(wanted) > _CROWD * count * len(some):
            bounds[some] = np.minimum(bounds[some], _bounds(squares, count))
            wanted = squares <= bounds[some, None]
            if np.count_nonzero(wanted) > _TIES * count * len(some):
                wanted &= _first_of_ties(squares, count)
        found = np.flatnonzero(wanted)
        rows = found // max(1, len(vectors))
        return some[rows], own.start + found - rows * len(vectors), squares.ravel()[found]

    def radii(self, centroids: np.ndarray) -> np.ndarray:
        """(lists,) distance of each list's farthest vector from its centroid; 0 if it is empty."""
        found = np.zeros(len(self.ends))
        for number, start in enumerate(np.append(0, self.ends[:-1])):
            apart = self.vectors[start : self.ends[number]] - centroids[number]
            found[number] = np.sqrt(np.einsum("nd,nd->n", apart, apart).max(initial=0))
        return found

    def owners(self, components: np.ndarray) -> np.ndarray:
        """(lists,) the component that all vectors of a list are of, or -1 if there is none."""
        own = components[self.members]
        filled = np.flatnonzero(np.diff(self.ends, prepend=0))
        starts = np.append(0, self.ends[:-1])[filled]
        least, most = np.minimum.reduceat(own, starts), np.maximum.reduceat(own, starts)
        found = np.full(len(self.ends), -1)
        found[filled] = np.where(least == most, least, -1)
        return found

    def _exact(
        self,
        queries: np.ndarray,
        rows: np.ndarray,
        places: np.ndarray,
        ranks: np.ndarray,
        count: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distances without what a matrix product loses of them between near copies."""
        ids = np.full((len(queries), count), -1, np.int32)
        distances = np.full((len(queries), count), np.inf, np.float32)
        ids[rows, ranks] = self.members[places]
        for start in range(0, len(rows), _ROWS * count):
            some = slice(start, start + _ROWS * count)
            apart = self.vectors[places[some]] - queries[rows[some]]
            distances[rows[some], ranks[some]] = np.sqrt(np.einsum("nd,nd->n", apart, apart))
        order = np.argsort(distances, axis=1, kind="stable")
        return np.take_along_axis(ids, order, 1), np.take_along_axis(distances, order, 1)


def nearest_centroids(vectors: np.ndarray, centroids: np.ndarray, count: int) -> np.ndarray:
    """(vectors, count) int32 nearest centroids of each vector, nearest first."""
    squares = vectors @ (-2 * centroids.T)
    squares += np.einsum("nd,nd->n", centroids, centroids)
    if count == 1:
        return squares.argmin(axis=1)[:, None].astype(np.int32)
    found = np.flatnonzero(squares <= _bounds(squares, count)[:, None])
    rows = found // len(centroids)
    values = squares.ravel()[found] + np.einsum("nd,nd->n", vectors, vectors)[rows]
    kept = _least(rows, np.maximum(values, 0), len(vectors), count)[0]
    return (found[kept] % len(centroids)).reshape(len(vectors), count).astype(np.int32)


def _visits(lists: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each list with the rows of `lists` that name it."""
    order = np.argsort(lists.ravel(), kind="stable")
    order = order[np.count_nonzero(lists < 0) :]
    visited, starts = np.unique(lists.ravel()[order], return_index=True)
    if len(visited):
        yield from zip(visited, np.split(order // lists.shape[1], starts[1:]), strict=True)


def _bounds(values: np.ndarray, count: int) -> np.ndarray:
    """(rows,) what at least `count` values of each row do not exceed, the largest number if fewer.

    Minima of groups are quicker to look through, and nearly as good as the values themselves.
    """
    groups = values.shape[1] // _GROUP
    if groups >= 2 * count:
        values = values[:, : groups * _GROUP].reshape(len(values), _GROUP, groups).min(axis=1)
    if values.shape[1] < count:
        return np.full(len(values), _LARGEST, np.float32)
    return np.minimum(np.partition(values, count - 1, axis=1)[:, count - 1], _LARGEST)


def _first_of_ties(values: np.ndarray, count: int) -> np.ndarray:
    """(rows, values) whether it is one of the `count` least of its row, the first of equal ones."""
    last = np.partition(values, count - 1, axis=1)[:, count - 1 : count]
    less, equal = values < last, values == last
    left = count - np.count_nonzero(less, axis=1)
    return less | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= left[:, None]))


def _least(
    rows: np.ndarray, values: np.ndarray, total: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which entries hold the least values of their rows, up to `count` each, and their ranks.

    Args:
        rows, values: of the entries; values float32, not negative.
        total: rows.
    """
    # As bits, numbers that are not negative have the order of integers.
    keys = (rows.astype(np.uint64) << np.uint64(32)) | values.view(np.uint32)
    order = np.argsort(keys, kind="stable")
    sizes = np.bincount(rows, minlength=total)
    ranks = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first = ranks < count
    return order[first], ranks[first]
