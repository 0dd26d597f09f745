"""Embeddings as clustering and evaluation take them: one unit-length vector an utterance."""

import argparse
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.cli.limits import Number
from unspeech.files.text import open_file
from unspeech.kaldi.archives import iterate_arrays, split_entry
from unspeech.kaldi.tables import read_table

SCP_NAMES = ("embedding.scp", "ivector_online.scp")
METRICS = ("cosine", "euclidean", "cityblock", "chebyshev")  # scipy's names
_WHOLE = slice(None)


def add_vector_options(
    parser: argparse.ArgumentParser, half: str, metrics: tuple[str, ...] = METRICS
) -> None:
    """What is taken of each vector, and how vectors are compared.

    Args:
        half: what `--half-index` does.
        metrics: to choose from.
    """
    parser.add_argument(
        "--metric",
        choices=metrics,
        default="cosine",
        help="distance; cosine: the Euclidean distance of vectors scaled to unit length",
    )
    parser.add_argument(
        "--normalize",
        choices=["true", "false"],
        default="false",
        help="scale vectors to unit length with the other metrics, too",
    )
    parser.add_argument(
        "--half-index", type=Number(int, "[1, inf)", special=-1), default=-1, help=half
    )


def load_embeddings(
    path: str | Path, unit_length: bool = True, part: slice = _WHOLE
) -> tuple[list[str], np.ndarray]:
    """Load one vector an utterance; matrices are averaged over time.

    Args:
        path: directory with embedding.scp or ivector_online.scp, or an .scp or .ark file.
        unit: whether to scale vectors to unit length.
        part: what is taken of each vector, before that.
    Returns:
        the utterances in the file's order, and (utterances, dim) float32.
    Raises:
        UnspeechError: naming the utterance that occurs twice, whose dimension differs, or that
            has no direction because it is empty, zero or not finite.
    """
    path = embeddings_file(path)
    rows = len(read_table(path)) if path.suffix == ".scp" else 1024
    utterances: list[str] = []
    vectors = np.empty((0, 0), np.float32)
    for utterance, array in iterate_arrays(path):
        row = len(utterances)
        if row == 0:
            dim = array.shape[-1]
            vectors = np.empty((rows, len(range(dim)[part])), np.float32)
        elif row == len(vectors):  # an ark does not say how many it holds
            vectors = np.concatenate([vectors, np.empty_like(vectors)])
        vectors[row] = _vector(utterance, array, dim, path, unit_length, part)
        utterances.append(utterance)
    if len(set(utterances)) < len(utterances):
        twice = Counter(utterances).most_common(1)[0][0]
        raise UnspeechError(f"{path}: utterance '{twice}' occurs twice; remove one of them")
    return utterances, vectors[: len(utterances)]


def embeddings_file(path: str | Path) -> Path:
    """The file that `path` means: itself, or the scp of an embedding or i-vector directory.

    Raises:
        UnspeechError: when a directory holds no such scp, or the file cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        open_file(path).close()
        return path
    for name in SCP_NAMES:
        if (path / name).exists():
            return path / name
    raise UnspeechError(f"{path}: holds neither {' nor '.join(SCP_NAMES)}; embed utterances first")


def _vector(
    utterance: str, array: np.ndarray, dim: int, path: Path, unit_length: bool, part: slice
) -> np.ndarray:
    where = f"{path}: utterance '{utterance}'"
    if not array.size:
        raise UnspeechError(f"{where}: its vector is empty; leave it out, or embed it again")
    if array.ndim == 2:
        array = array.mean(axis=0, dtype=np.float64)
    if array.shape != (dim,):
        raise UnspeechError(
            f"{where}: its shape is {array.shape}, the vectors before have dimension {dim}; "
            "embed all utterances with one model"
        )
    array = array[part]
    if len(array) in {0, dim} and part != _WHOLE:
        raise UnspeechError(f"{where}: --half-index must lie between 1 and {dim - 1}")
    length = np.linalg.norm(array.astype(np.float64))
    if not np.isfinite(length) or length == 0:
        what = "is zero" if length == 0 else "holds NaN or infinite values"
        raise UnspeechError(f"{where}: its vector {what}; leave it out, or embed it again")
    return array / length if unit_length else array


@dataclass(frozen=True)
class VectorPlaces:
    """Where in one archive each utterance's vector lies: millions are read without a loop."""

    utterances: list[str]
    archive: Path
    offsets: np.ndarray  # (utterances,) int64: first byte of a vector's numbers
    dim: int


_HEADER = 10  # bytes: "\0B", "FV ", and the dimension as "\4" and int32


def locate_vectors(path: Path) -> VectorPlaces | None:
    """Find the vectors that an scp points at, if all are float vectors in one archive.

    Returns: None for any other file; `load_embeddings` reads it, or says what is wrong with it.
    Raises:
        UnspeechError: when the archive may not be read.
    Source: Kaldi's `src/matrix/kaldi-vector.cc`.
    """
    if path.suffix != ".scp":
        return None
    utterances, offsets, archives = [], [], set()
    for utterance, entry in read_table(path).items():
        archive, offset, limits = split_entry(entry)
        if limits or archive.endswith("|"):
            return None
        utterances.append(utterance)
        offsets.append(offset)
        archives.add(archive)
    archive = Path(archives.pop())
    if archives or not archive.is_file() or not archive.stat().st_size:
        return None
    open_file(archive).close()
    data = np.memmap(archive, np.uint8, "r")
    places = np.array(offsets, np.int64)
    if places.max() + _HEADER > len(data):
        return None
    header = bytes(data[places[0] : places[0] + _HEADER])
    dim = struct.unpack("<i", header[6:])[0]
    if header[:6] != b"\0BFV \4" or dim <= 0 or places.max() + _HEADER + 4 * dim > len(data):
        return None
    if any((data[places + byte] != header[byte]).any() for byte in range(_HEADER)):
        return None
    return VectorPlaces(utterances, archive, places + _HEADER, dim)


def read_vectors(
    path: Path, places: VectorPlaces, rows: slice, unit_length: bool, part: slice = _WHOLE
) -> np.ndarray:
    """Read some of the vectors.

    Args:
        path: the scp file, for the error message.
        unit_length, part: as of `load_embeddings`.
    Returns:
        (rows, dim) float32.
    Raises:
        UnspeechError: naming the utterance whose vector is zero or not finite.
    """
    data = np.memmap(places.archive, np.uint8, "r")
    whole = data[places.offsets[rows, None] + np.arange(4 * places.dim)].view("<f4")
    numbers = whole[:, part]
    lengths = np.linalg.norm(numbers.astype(np.float64), axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0))
    if bad.size:
        _vector(places.utterances[rows][bad[0]], whole[bad[0]], places.dim, path, unit_length, part)
    return (numbers / lengths).astype(np.float32) if unit_length else numbers
