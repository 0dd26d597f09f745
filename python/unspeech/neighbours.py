"""The nearest-neighbour graph of many vectors, kept on disk and made in phases.

    python3 -m unspeech.neighbours index --embeddings exp/embeddings/demo --graph exp/clusters/graph
    python3 -m unspeech.neighbours search --graph exp/clusters/graph --job 1 --jobs 4

The first command prepares what all jobs of the second share; `unspeech.cluster` does alone what
is missing. The folder holds:
    vectors.npy, utterances   the vectors, memory-mapped, and their names
    index.faiss               inverted file: vectors by their nearest centroid, their cell
    cells.npy                 the cells nearest to each utterance
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
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from unspeech.errors import UnspeechError, run_program
from unspeech.tables import atomic_write
from unspeech.vectors import embeddings_file, load_embeddings, locate_vectors, read_vectors

NEIGHBOURS = 16  # of each utterance in the graph, at least; more if min_samples asks for more
CELL = 250  # utterances a cell of the inverted file, on average, while they are few
CELLS = 4  # of the root of their number when they are many: each is compared with all centroids
PROBES = 8  # cells searched for an utterance's neighbours
TRAINING_SHARE = 40  # vectors a centroid is trained on
TRAINING_ROUNDS = 4
CHUNK = 1024  # queries of one search
BLOCK = 1 << 16  # queries of one file of neighbours


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
        if stamp.exists() and json.loads(stamp.read_text(encoding="utf-8")) == made_from:
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
        return json.loads(stamp.read_text(encoding="utf-8"))

    def vectors(self) -> np.ndarray:
        return np.load(self.folder / "vectors.npy", mmap_mode="r")

    def utterances(self) -> list[str]:
        return (self.folder / "utterances").read_text(encoding="utf-8").split("\n")[:-1]

    def cells(self) -> np.ndarray:
        return np.load(self.folder / "cells.npy", mmap_mode="r")

    def index(self) -> faiss.IndexIVFFlat:
        return faiss.read_index(str(self.folder / "index.faiss"))

    def map(self, what: str, function: Callable, items: Iterable, sizes: list[int]) -> Iterator:
        """Yield function(item) in order, each in one thread of several; show progress.

        Args:
            what: for the progress lines.
            sizes: the work in each item, for the estimate of the time left.
        """
        started = shown = time.time()
        done, total = 0, sum(sizes)
        with (
            threadpool_limits(1, "blas"),
            ThreadPoolExecutor(
                self.threads, initializer=faiss.omp_set_num_threads, initargs=(1,)
            ) as pool,
        ):
            for result, size in zip(pool.map(function, items), sizes, strict=True):
                yield result
                done += size
                now = time.time()
                if now - shown > 5:
                    shown = now
                    left = (now - started) * (total - done) / done
                    print(f"{what}: {100 * done / total:.0f} %, {left:.0f} s left", flush=True)


def store_vectors(graph: Graph, embeddings: str | Path, metric: str) -> None:
    """Phase `vectors`: copy the vectors to a memory-mapped file.

    Args:
        embeddings: directory, scp or ark.
        metric: "cosine" scales vectors to length 1; "euclidean" leaves them as they are.
    """
    path = embeddings_file(embeddings)
    where = locate_vectors(path)
    sources = sorted({path, *([where.archive] if where else [])})
    made_from = {"metric": metric, "files": {str(s.resolve()): _state(s) for s in sources}}
    graph.folder.mkdir(parents=True, exist_ok=True)

    def make() -> None:
        if where:
            utterances, unit = where.utterances, metric == "cosine"
            blocks = (
                read_vectors(path, where, slice(i, i + BLOCK), unit)
                for i in range(0, len(utterances), BLOCK)
            )
            shape = (len(utterances), where.dim)
        else:
            utterances, vectors = load_embeddings(path, unit=metric == "cosine")
            blocks, shape = [vectors], vectors.shape
        with atomic_write(graph.folder / "vectors.npy", "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks:
                file.write(block.data)
        with atomic_write(graph.folder / "utterances") as file:
            file.writelines(f"{u}\n" for u in utterances)

    graph.phase("vectors", made_from, make)


def _state(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def build_index(graph: Graph, seed: int) -> None:
    """Phase `index`: centroids by k-means on a sample, and the cells of all vectors."""
    made_from = {"vectors": graph.made_from("vectors"), "probes": PROBES, "seed": seed}

    def make() -> None:
        vectors = graph.vectors()
        count, dim = vectors.shape
        most = min(-(-count // CELL), math.ceil(CELLS * math.sqrt(count)))
        centroids = _train_centroids(graph, vectors, most, seed)
        quantizer = faiss.IndexFlatL2(dim)
        quantizer.add(centroids)
        index = faiss.IndexIVFFlat(quantizer, dim, len(centroids))
        probes = min(PROBES, len(centroids))
        cells = np.concatenate(list(_nearest(graph, "index", vectors, centroids, probes)))
        with atomic_write(graph.folder / "cells.npy", "wb") as file:
            np.save(file, cells)
        with threadpool_limits(1):
            for start in range(0, count, BLOCK):
                rows = slice(start, start + BLOCK)
                block, own = np.ascontiguousarray(vectors[rows]), cells[rows, 0].astype(np.int64)
                index.add_core(len(block), faiss.swig_ptr(block), None, faiss.swig_ptr(own))
        with atomic_write(graph.folder / "index.faiss", "wb") as file:
            faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))

    graph.phase("index", made_from, make)


def _train_centroids(graph: Graph, vectors: np.ndarray, cells: int, seed: int) -> np.ndarray:
    """Lloyd's algorithm on a random sample, a few rounds; an empty cell keeps its centroid."""
    rng = np.random.default_rng(seed)
    size = min(len(vectors), cells * TRAINING_SHARE)
    sample = vectors[np.sort(rng.choice(len(vectors), size, replace=False))]
    centroids = sample[rng.choice(size, cells, replace=False)]
    for turn in range(TRAINING_ROUNDS):
        what = f"index, round {turn + 1}"
        nearest = np.concatenate(list(_nearest(graph, what, sample, centroids, 1)))[:, 0]
        order = np.argsort(nearest, kind="stable")
        filled, starts = np.unique(nearest[order], return_index=True)
        sums = np.add.reduceat(sample[order], starts, axis=0)
        centroids[filled] = sums / np.diff(starts, append=size)[:, None]
    return centroids


def _nearest(
    graph: Graph, what: str, vectors: np.ndarray, centroids: np.ndarray, count: int
) -> Iterator[np.ndarray]:
    """Yield the nearest centroids of each chunk of vectors, (CHUNK, count) int32."""
    starts = range(0, len(vectors), CHUNK)

    def search(start: int) -> np.ndarray:
        queries = np.ascontiguousarray(vectors[start : start + CHUNK])
        return faiss.knn(queries, centroids, count)[1].astype(np.int32)

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
    index, cells = graph.index(), graph.cells()
    index.nprobe = cells.shape[1]
    chunks = [
        (start, min(start + CHUNK, len(vectors)))
        for block in blocks
        for start in range(block * BLOCK, min((block + 1) * BLOCK, len(vectors)), CHUNK)
    ]

    def search(chunk: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        start, end = chunk
        squares, ids = search_cells(index, vectors[start:end], cells[start:end], neighbours + 1)
        return without_self(squares, ids, np.arange(start, end))

    found: list[tuple[np.ndarray, np.ndarray]] = []
    results = graph.map("neighbours", search, chunks, [end - start for start, end in chunks])
    for (_, end), result in zip(chunks, results, strict=True):
        found.append(result)
        if end % BLOCK == 0 or end == len(vectors):
            ids, distances = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
            with atomic_write(block_file(graph, key, (end - 1) // BLOCK), "wb") as file:
                np.savez(file, ids=ids, distances=distances)
            found = []


def search_cells(
    index: faiss.IndexIVFFlat,
    queries: np.ndarray,
    cells: np.ndarray,
    count: int,
    allowed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest vectors in given cells; faiss' own wrapper has no selection there.

    Args:
        queries: (queries, dim).
        cells: (queries, index.nprobe).
        count: neighbours wanted.
        allowed: a bit for each vector of the index, in bytes; all by default.
    Returns:
        (queries, count) squared distances and int64 ids, -1 where there are too few.
    """
    queries = np.ascontiguousarray(queries)
    cells = cells.astype(np.int64)
    unused = np.empty(cells.shape, np.float32)  # distances to centroids
    squares = np.empty((len(queries), count), np.float32)
    ids = np.empty((len(queries), count), np.int64)
    chosen = faiss.IDSelectorBitmap(allowed) if allowed is not None else None
    params = faiss.SearchParametersIVF(sel=chosen, nprobe=index.nprobe) if chosen else None
    arrays = (faiss.swig_ptr(array) for array in (cells, unused, squares, ids))
    index.search_preassigned_c(len(queries), faiss.swig_ptr(queries), count, *arrays, False, params)
    return squares, ids


def without_self(
    squares: np.ndarray, ids: np.ndarray, own: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a search's result into neighbours without the query: ids and distances.

    A query with many exact copies may not be among its own neighbours: the last goes then.
    """
    keep = ids != own[:, None]
    keep[keep.all(axis=1), -1] = False
    shape = (len(ids), ids.shape[1] - 1)
    ids = ids[keep].reshape(shape).astype(np.int32)
    distances = np.sqrt(np.maximum(squares[keep].reshape(shape), 0))
    distances[ids < 0] = np.inf
    return ids, distances


def join_blocks(graph: Graph, neighbours: int) -> None:
    """Phase `neighbours`: search what jobs left undone, then put the blocks into one file."""

    key = neighbours_key(graph, neighbours)

    def make() -> None:
        search_blocks(graph, neighbours)
        count = len(graph.vectors())
        for name, kind in (("ids", "<i4"), ("distances", "<f4")):
            with atomic_write(graph.folder / f"{name}.npy", "wb") as file:
                header = {"descr": kind, "fortran_order": False, "shape": (count, neighbours)}
                np.lib.format.write_array_header_1_0(file, header)
                for block in range(-(-count // BLOCK)):
                    with np.load(block_file(graph, key, block)) as arrays:
                        file.write(np.ascontiguousarray(arrays[name]).data)

    graph.phase("neighbours", key, make)
    for old in graph.folder.glob("neighbours.*.npz"):
        old.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=["index", "search"])
    parser.add_argument("--graph", required=True, type=Path, help="folder of the graph")
    parser.add_argument("--embeddings", help="for index: directory, scp or ark")
    add_graph_options(parser)
    parser.add_argument(
        *("--min-samples", "--min_samples"), type=int, default=1, help="for search: as of cluster"
    )
    parser.add_argument("--job", type=int, default=1, help="for search: which of the jobs this is")
    parser.add_argument("--jobs", type=int, default=1, help="for search: how many there are")
    options = parser.parse_args()
    graph = Graph(options.graph, options.threads)
    if options.kind == "index":
        if options.embeddings is None:
            raise UnspeechError("index needs --embeddings")
        store_vectors(graph, options.embeddings, options.metric)
        build_index(graph, options.seed)
    elif not 1 <= options.job <= options.jobs:
        raise UnspeechError(f"--job is {options.job}; it must lie between 1 and {options.jobs}")
    else:
        width = graph_width(len(graph.vectors()), options.min_samples)
        search_blocks(graph, width, options.job, options.jobs)


def add_graph_options(parser: argparse.ArgumentParser) -> None:
    """The options of the programs that make a graph."""
    parser.add_argument(
        "--metric",
        choices=["cosine", "euclidean"],
        default="cosine",
        help="cosine: Euclidean distance of vectors scaled to unit length",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the sample that cells come from")
    add_threads_option(parser)


def add_threads_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: all cores"
    )


if __name__ == "__main__":
    run_program(main)
