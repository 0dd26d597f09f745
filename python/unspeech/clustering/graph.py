"""A folder in which the graph of nearest neighbours of many vectors is, or is being made.

Its phases leave:
    vectors.npy, utterances   the vectors, memory-mapped, and their names
    centroids.npy             of the inverted lists: a vector is in that of its nearest centroid
    cells.npy                 the lists nearest to each utterance
    by_cell.npy, members.npy  the vectors in the order of their lists, and their numbers
    neighbours.<block>.npz    nearest neighbours of a block of utterances
    links.npz                 nearest connections between the graph's components, see `links`
    <phase>.json              what the phase's files were made from; written last
"""

import json
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
from unspeech.clustering.inverted_lists import InvertedLists
from unspeech.files.atomic import atomic_write, make_directory
from unspeech.files.npz import load_npz
from unspeech.files.origins import file_key
from unspeech.files.text import read_json, read_lines
from unspeech.kaldi.vectors import (
    embeddings_file,
    load_embeddings,
    locate_vectors,
    read_vectors,
)

PROBES = 8  # lists searched for an utterance's neighbours
VISITORS = 64  # queries of one search that visit a list, on average
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
    threads: int = 1

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

    def nearest_lists(self) -> np.ndarray:
        return self.load("cells")

    def inverted_lists(self) -> InvertedLists:
        sizes = np.bincount(self.nearest_lists()[:, 0], minlength=len(self.centroids()))
        return InvertedLists(self.load("by_cell"), self.load("members"), np.cumsum(sizes))

    def search_size(self) -> int:
        """Queries of one search: few enough for its memory, so many that lists see several."""
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
    unit_length = settings["metric"] == "cosine" or settings["normalize"] == "true"
    cut = settings["half_index"]
    part = slice(None) if cut == -1 else slice(cut, None)
    made_from = {
        "unit": unit_length,
        "half_index": cut,
        "files": {str(path.resolve()): file_key(path)},
    }
    make_directory(graph.folder)

    def make() -> None:
        if where:
            utterances = where.utterances
            blocks = (
                read_vectors(path, where, slice(i, i + BLOCK), unit_length, part)
                for i in range(0, len(utterances), BLOCK)
            )
            shape = (len(utterances), len(range(where.dim)[part]))
        else:
            utterances, vectors = load_embeddings(path, unit_length, part)
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
