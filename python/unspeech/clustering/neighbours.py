"""The nearest-neighbour graph of many vectors, kept on disk and made in phases.

Its folder holds:
    vectors.npy, utterances   the vectors, memory-mapped, and their names
    centroids.npy             of the cells: a vector belongs to that of its nearest centroid
    cells.npy                 the cells nearest to each utterance
    by_cell.npy, members.npy  the vectors in the order of their cells, and their numbers
    neighbours.<block>.npz    nearest neighbours of a block of utterances
    links.npz                 nearest connections between the graph's components, see `hierarchy`
    <phase>.json              what the phase's files were made from; written last
Every search runs on chunks of fixed size, each in one thread, so that the graph is the same for
any number of threads and jobs.
"""

import argparse
import hashlib
import json
import math
import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from unspeech.cli.errors import UnspeechError
from unspeech.cli.limits import SEED, Number
from unspeech.clustering.inverted_lists import Cells, nearest_centroids
from unspeech.files.npz import load_npz
from unspeech.files.origins import file_key
from unspeech.files.text import read_json, read_lines
from unspeech.kaldi.tables import atomic_write, make_directory
from unspeech.kaldi.vectors import (
    add_vector_options,
    embeddings_file,
    load_embeddings,
    locate_vectors,
    read_vectors,
)

NEIGHBOURS = 16  # of each utterance in the graph, at least; more if min_samples asks for more
CELL = 250  # utterances a cell of the inverted file, on average, while they are few
CELLS = 4  # of the root of their number when they are many: each is compared with all centroids
PROBES = 8  # cells searched for an utterance's neighbours
TRAINING_SHARE = 40  # vectors a centroid is trained on
TRAINING_ROUNDS = 4
VISITORS = 64  # queries of one search that visit a cell, on average
CHUNK = 1024  # queries of one search, at least
BLOCK = 1 << 16  # queries of one file of neighbours, and of one search at most


@contextmanager
def reported(phase: str) -> Iterator[None]:
    """Print how long a phase took, and the most memory that the program has used so far."""
    started = time.time()
    yield
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{phase}: {time.time() - started:.1f} s, {memory} MB", flush=True)


@dataclass(frozen=True)
class Graph:
    """A folder in which a graph is, or is being made."""

    folder: Path
    threads: int

    def phase(self, name: str, made_from: dict, make: Callable[[], None]) -> None:
        """Do a phase's work unless its files are there and were made from the same."""
        stamp = self.folder / f"{name}.json"
        try:
            there = stamp.exists() and read_json(stamp) == made_from
        except UnspeechError:  # damaged
            there = False
        if there:
            print(f"{name}: there already", flush=True)
            return
        stamp.unlink(missing_ok=True)
        with reported(name):
            make()
            with atomic_write(stamp) as file:
                json.dump(made_from, file, indent=2)

    def made_from(self, name: str) -> dict:
        """What a phase's files were made from.

        Raises:
            UnspeechError: when the phase was not finished.
        """
        stamp = self.folder / f"{name}.json"
        if not stamp.exists():
            raise UnspeechError(f"{stamp}: no such file; make the graph's {name} first")
        try:
            return read_json(stamp)
        except UnspeechError as error:
            raise self._damaged(stamp, error) from None

    def _damaged(self, path: Path, error: Exception) -> UnspeechError:
        return UnspeechError(
            f"{path}: missing or damaged ({error!s:.200}); remove {self.folder} and cluster again"
        )

    def load(self, name: str) -> np.ndarray:
        """An array of the folder, memory-mapped.

        Raises:
            UnspeechError: when it is missing or damaged.
        """
        path = self.folder / f"{name}.npy"
        try:
            return np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise self._damaged(path, error) from None

    def load_all(self, path: Path) -> dict[str, np.ndarray]:
        """The arrays of an .npz file.

        Raises:
            UnspeechError: when it is missing or damaged.
        """
        try:
            return load_npz(path)
        except UnspeechError as error:
            raise self._damaged(path, error) from None

    def vectors(self) -> np.ndarray:
        return self.load("vectors")

    def utterances(self) -> list[str]:
        names = read_lines(self.folder / "utterances")
        if len(names) != len(self.vectors()):
            raise self._damaged(self.folder / "utterances", ValueError(f"{len(names)} lines"))
        return names

    def centroids(self) -> np.ndarray:
        return np.array(self.load("centroids"))

    def nearest_cells(self) -> np.ndarray:
        return self.load("cells")

    def cells(self) -> Cells:
        sizes = np.bincount(self.nearest_cells()[:, 0], minlength=len(self.centroids()))
        return Cells(self.load("by_cell"), self.load("members"), np.cumsum(sizes))

    def search_size(self) -> int:
        """Queries of one search: few enough for its memory, so many that cells see several."""
        wanted = VISITORS * len(self.centroids()) // PROBES
        return min(BLOCK, max(CHUNK, 1 << wanted.bit_length()))

    def map(self, what: str, function: Callable, items: Iterable, sizes: list[int]) -> Iterator:
        """Yield function(item) in order, each in one thread of several; show progress.

        Args:
            what: for the progress lines.
            sizes: the work in each item, for the estimate of the time left.
        """
        started = shown = time.time()
        done, total = 0, sum(sizes)
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(self.threads) as pool:
            for result, size in zip(pool.map(function, items), sizes, strict=True):
                yield result
                done += size
                now = time.time()
                if now - shown > 5:
                    shown = now
                    left = (now - started) * (total - done) / done
                    print(f"{what}: {100 * done / total:.0f} %, {left:.0f} s left", flush=True)


def store_vectors(graph: Graph, embeddings: str | Path, settings: Mapping) -> None:
    """Phase `vectors`: copy the vectors to a memory-mapped file.

    Args:
        embeddings: directory, scp or ark.
        settings: `metric` and `normalize`, which say whether vectors are scaled to length 1, and
            `half_index`, before which they are cut off.
    """
    path = embeddings_file(embeddings)
    where = locate_vectors(path)
    unit = settings["metric"] == "cosine" or settings["normalize"] == "true"
    cut = settings["half_index"]
    part = slice(None) if cut == -1 else slice(cut, None)
    made_from = {
        "unit": unit,
        "half_index": cut,
        "files": {str(path.resolve()): file_key(path)},
    }
    make_directory(graph.folder)

    def make() -> None:
        if where:
            utterances = where.utterances
            blocks = (
                read_vectors(path, where, slice(i, i + BLOCK), unit, part)
                for i in range(0, len(utterances), BLOCK)
            )
            shape = (len(utterances), len(range(where.dim)[part]))
        else:
            utterances, vectors = load_embeddings(path, unit, part)
            blocks, shape = [vectors], vectors.shape
        write_array(graph.folder / "vectors.npy", "<f4", shape, blocks)
        with atomic_write(graph.folder / "utterances") as file:
            file.writelines(f"{u}\n" for u in utterances)

    graph.phase("vectors", made_from, make)


def write_array(path: Path, kind: str, shape: tuple, blocks: Iterable[np.ndarray]) -> None:
    """Write an array in parts, as an npy file."""
    with atomic_write(path, "wb") as file:
        header = {"descr": kind, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, kind).data)


def build_index(graph: Graph, seed: int) -> None:
    """Phase `index`: centroids by k-means on a sample, and the cells of all vectors."""
    vectors = graph.vectors()
    count = len(vectors)
    cells = min(-(-count // CELL), math.ceil(CELLS * math.sqrt(count)))
    made_from = {"vectors": graph.made_from("vectors"), "cells": cells, "probes": PROBES}

    def make() -> None:
        centroids = _train_centroids(graph, vectors, cells, seed)
        probes = min(PROBES, len(centroids))
        nearest = np.concatenate(list(nearest_cells(graph, "index", vectors, centroids, probes)))
        order = np.argsort(nearest[:, 0], kind="stable").astype(np.int32)
        for name, array in (("centroids", centroids), ("cells", nearest), ("members", order)):
            write_array(graph.folder / f"{name}.npy", array.dtype.str, array.shape, [array])
        blocks = (vectors[order[start : start + BLOCK]] for start in range(0, count, BLOCK))
        write_array(graph.folder / "by_cell.npy", "<f4", vectors.shape, blocks)

    graph.phase("index", made_from | {"seed": seed}, make)


def _train_centroids(graph: Graph, vectors: np.ndarray, cells: int, seed: int) -> np.ndarray:
    """Lloyd's algorithm on a random sample, a few rounds; an empty cell keeps its centroid."""
    rng = np.random.default_rng(seed)
    size = min(len(vectors), cells * TRAINING_SHARE)
    sample = vectors[np.sort(rng.choice(len(vectors), size, replace=False))]
    centroids = sample[rng.choice(size, cells, replace=False)]
    for turn in range(TRAINING_ROUNDS):
        what = f"index, round {turn + 1}"
        nearest = np.concatenate(list(nearest_cells(graph, what, sample, centroids, 1)))[:, 0]
        order = np.argsort(nearest, kind="stable")
        filled, starts = np.unique(nearest[order], return_index=True)
        sums = np.add.reduceat(sample[order], starts, axis=0)
        centroids[filled] = sums / np.diff(starts, append=size)[:, None]
    return centroids


def nearest_cells(
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
    first, without the utterance itself; -1 and infinity where the probed cells hold too few.
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
    cells, nearest, size = graph.cells(), graph.nearest_cells(), graph.search_size()
    chunks = [
        (start, min(start + size, (block + 1) * BLOCK, len(vectors)))
        for block in blocks
        for start in range(block * BLOCK, min((block + 1) * BLOCK, len(vectors)), size)
    ]

    def search(chunk: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(*chunk)
        found = cells.search(vectors[rows], nearest[rows], neighbours + 1)
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


def add_graph_options(parser: argparse.ArgumentParser) -> None:
    """The options of the programs that make a graph."""
    add_vector_options(parser, "take of each vector the values from this index on; -1: all")
    parser.add_argument("--seed", type=SEED, default=1, help="of whatever is drawn at random")
    add_threads_option(parser)


def add_threads_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=Number(int, "[1, 4096]"),
        default=len(os.sched_getaffinity(0)),
        help="default: all cores",
    )
