"""The nearest neighbours of all vectors of a graph: an index of inverted lists, and a search in it.

Every search runs on chunks of fixed size, each in one thread, so that the graph is the same for
any number of threads and jobs. What the graph's folder holds is said in `graph`.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unspeech.clustering.graph import BLOCK, CHUNK, PROBES, Graph, write_array
from unspeech.clustering.inverted_lists import nearest_centroids
from unspeech.files.atomic import atomic_write

NEIGHBOURS = 16  # of each utterance in the graph, at least; more if min_samples asks for more
LIST_SIZE = 250  # utterances of an inverted list, on average, while they are few
LISTS = 4  # of the root of their number when they are many: each is compared with all centroids
TRAINING_VECTORS = 40  # vectors a centroid is trained on
TRAINING_ROUNDS = 4


def build_index(graph: Graph, seed: int) -> None:
    """Phase `index`: centroids by k-means on a sample, and the inverted lists of all vectors."""
    vectors = graph.vectors()
    count = len(vectors)
    lists = min(-(-count // LIST_SIZE), math.ceil(LISTS * math.sqrt(count)))
    made_from = {"vectors": graph.made_from("vectors"), "cells": lists, "probes": PROBES}

    def make() -> None:
        centroids = _train_centroids(graph, vectors, lists, seed)
        probes = min(PROBES, len(centroids))
        nearest = np.concatenate(list(nearest_lists(graph, "index", vectors, centroids, probes)))
        order = np.argsort(nearest[:, 0], kind="stable").astype(np.int32)
        for name, array in (("centroids", centroids), ("cells", nearest), ("members", order)):
            write_array(graph.folder / f"{name}.npy", array.dtype.str, array.shape, [array])
        blocks = (vectors[order[start : start + BLOCK]] for start in range(0, count, BLOCK))
        write_array(graph.folder / "by_cell.npy", "<f4", vectors.shape, blocks)

    graph.phase("index", made_from | {"seed": seed}, make)


def _train_centroids(graph: Graph, vectors: np.ndarray, lists: int, seed: int) -> np.ndarray:
    """Lloyd's algorithm on a random sample, a few rounds; an empty list keeps its centroid."""
    rng = np.random.default_rng(seed)
    size = min(len(vectors), lists * TRAINING_VECTORS)
    sample = vectors[np.sort(rng.choice(len(vectors), size, replace=False))]
    centroids = sample[rng.choice(size, lists, replace=False)]
    # Of equal centroids one gets all vectors, and the others would be searched in vain.
    centroids = centroids[np.sort(np.unique(centroids, axis=0, return_index=True)[1])]
    for turn in range(TRAINING_ROUNDS):
        what = f"index, round {turn + 1}"
        nearest = np.concatenate(list(nearest_lists(graph, what, sample, centroids, 1)))[:, 0]
        order = np.argsort(nearest, kind="stable")
        filled, starts = np.unique(nearest[order], return_index=True)
        sums = np.add.reduceat(sample[order], starts, axis=0)
        centroids[filled] = sums / np.diff(starts, append=size)[:, None]
    return centroids


def nearest_lists(
    graph: Graph, what: str, vectors: np.ndarray, centroids: np.ndarray, count: int
) -> Iterator[np.ndarray]:
    """Yield the nearest centroids of each chunk of vectors, (CHUNK, count) int32."""
    starts = range(0, len(vectors), CHUNK)

    def search(start: int) -> np.ndarray:
        return nearest_centroids(vectors[start : start + CHUNK], centroids, count)

    yield from graph.map(what, search, starts, [CHUNK] * len(starts))


def graph_width(count: int, min_samples: int) -> int:
    """Neighbours of each utterance in a graph of so many utterances."""
    return min(max(NEIGHBOURS, min_samples), count - 1)


def neighbours_key(graph: Graph, neighbours: int) -> dict:
    return {"index": graph.made_from("index"), "neighbours": neighbours}


def block_file(graph: Graph, key: dict, block: int) -> Path:
    digest = hashlib.md5(json.dumps(key).encode(), usedforsecurity=False).hexdigest()[:8]
    return graph.folder / f"neighbours.{digest}.{block:05d}.npz"


def search_blocks(graph: Graph, neighbours: int, job: int = 1, jobs: int = 1) -> None:
    """Find the nearest neighbours of every `jobs`-th block of utterances, those not found yet.

    A block's file holds `ids` (utterances, neighbours) int32 and `distances` float32, nearest
    first, without the utterance itself; -1 and infinity where the probed lists hold too few.
    """
    key = neighbours_key(graph, neighbours)
    vectors = graph.vectors()
    blocks = [
        block
        for block in range(job - 1, -(-len(vectors) // BLOCK), jobs)
        if not block_file(graph, key, block).exists()
    ]
    if not blocks:
        return
    lists, nearest, size = graph.inverted_lists(), graph.nearest_lists(), graph.search_size()
    chunks = [
        (start, min(start + size, (block + 1) * BLOCK, len(vectors)))
        for block in blocks
        for start in range(block * BLOCK, min((block + 1) * BLOCK, len(vectors)), size)
    ]

    def search(chunk: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(*chunk)
        found = lists.search(vectors[rows], nearest[rows], neighbours + 1)
        return without_self(*found, np.arange(*chunk))

    found: list[tuple[np.ndarray, np.ndarray]] = []
    results = graph.map("neighbours", search, chunks, [end - start for start, end in chunks])
    for (_, end), result in zip(chunks, results, strict=True):
        found.append(result)
        if end % BLOCK == 0 or end == len(vectors):
            ids, distances = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
            with atomic_write(block_file(graph, key, (end - 1) // BLOCK), "wb") as file:
                np.savez(file, ids=ids, distances=distances)
            found = []


def without_self(
    ids: np.ndarray, distances: np.ndarray, own: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Drop each query from among its neighbours.

    A query with many exact copies may not be among them: the last goes then.
    """
    keep = ids != own[:, None]
    keep[keep.all(axis=1), -1] = False
    shape = (len(ids), ids.shape[1] - 1)
    return ids[keep].reshape(shape), distances[keep].reshape(shape)


def join_blocks(graph: Graph, neighbours: int) -> None:
    """Phase `neighbours`: search what jobs left undone, then put the blocks into one file."""

    key = neighbours_key(graph, neighbours)

    def make() -> None:
        search_blocks(graph, neighbours)
        count = len(graph.vectors())
        files = [block_file(graph, key, block) for block in range(-(-count // BLOCK))]
        for name, kind in (("ids", "<i4"), ("distances", "<f4")):
            blocks = (graph.load_all(file)[name] for file in files)
            write_array(graph.folder / f"{name}.npy", kind, (count, neighbours), blocks)

    graph.phase("neighbours", key, make)
    for old in graph.folder.glob("neighbours.*.npz"):
        old.unlink()
