"""Embeddings as clustering and evaluation take them: one unit-length vector an utterance."""

from collections import Counter
from pathlib import Path

import numpy as np

from unspeech.archives import iterate_arrays
from unspeech.errors import UnspeechError
from unspeech.tables import read_table

SCP_NAMES = ("embedding.scp", "ivector_online.scp")


def load_embeddings(path: str | Path) -> tuple[list[str], np.ndarray]:
    """Load one unit-length vector an utterance; matrices are averaged over time.

    Args:
        path: directory with embedding.scp or ivector_online.scp, or an .scp or .ark file.
    Returns:
        the utterances in the file's order, and (utterances, dim) float32 of unit length.
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
            vectors = np.empty((rows, array.shape[-1]), np.float32)
        elif row == len(vectors):  # an ark does not say how many it holds
            vectors = np.concatenate([vectors, np.empty_like(vectors)])
        vectors[row] = _unit_vector(utterance, array, vectors.shape[1], path)
        utterances.append(utterance)
    if len(set(utterances)) < len(utterances):
        twice = Counter(utterances).most_common(1)[0][0]
        raise UnspeechError(f"{path}: utterance '{twice}' occurs twice; remove one of them")
    return utterances, vectors[: len(utterances)]


def embeddings_file(path: str | Path) -> Path:
    """The file that `path` means: itself, or the scp of an embedding or i-vector directory.

    Raises:
        UnspeechError: when a directory holds no such scp.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    for name in SCP_NAMES:
        if (path / name).exists():
            return path / name
    raise UnspeechError(f"{path}: holds neither {' nor '.join(SCP_NAMES)}; embed utterances first")


def _unit_vector(utterance: str, array: np.ndarray, dim: int, path: Path) -> np.ndarray:
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
    length = np.linalg.norm(array.astype(np.float64))
    if not np.isfinite(length) or length == 0:
        what = "is zero" if length == 0 else "holds NaN or infinite values"
        raise UnspeechError(f"{where}: its vector {what}; leave it out, or embed it again")
    return array / length
