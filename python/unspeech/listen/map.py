"""A map of the utterances: near each other in the plane are those whose vectors are.

In: vectors.
Out: places in a square, and which of them lie in a rectangle or a lasso. Kept in the clusters
directory, as `map.npy`, since it takes a while.
Source: L. van der Maaten, G. Hinton, "Visualizing data using t-SNE", JMLR 2008.
"""

import hashlib
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.clustering.inverted_lists import nearest_centroids
from unspeech.evaluation.projection import project
from unspeech.files.atomic import atomic_write
from unspeech.files.text import open_file

LANDMARKS = 2000  # utterances placed by t-SNE; the others go between those that are nearest
BETWEEN = 3
BLOCK = 1 << 14
SEED = 1


class Map:
    """Places of the utterances, once they are made.

    Args:
        vectors: (utterances, dim).
        file: where the places are kept.
    """

    def __init__(self, vectors: np.ndarray, file: Path) -> None:
        self._vectors, self._file = vectors, file
        self._places: np.ndarray | None = None
        rng = np.random.default_rng(SEED)
        self._order = rng.permutation(len(vectors)).astype(np.int32)  # a sample of any size

    def make(self) -> None:
        """Place the utterances; for thousands of them it takes half a minute."""
        vectors, file = self._vectors, self._file
        key = hashlib.md5(usedforsecurity=False)
        for start in range(0, len(vectors), max(1, len(vectors) // 1000)):
            key.update(np.ascontiguousarray(vectors[start]).tobytes())
        digest = np.frombuffer(key.digest(), np.float32)
        places = _read(file, len(vectors), digest)
        if places is None:
            places = _place(vectors)
            with atomic_write(file, "wb") as out:
                np.save(out, np.concatenate([digest.reshape(2, 2), places]))
        self._places = places[self._order]

    def ready(self) -> bool:
        return self._places is not None

    def within(self, left: float, top: float, right: float, bottom: float, most: int) -> np.ndarray:
        """Some utterances whose places lie in a rectangle, the same ones as it is zoomed into.

        Returns:
            (found, 2) float32 places; (found,) int32 numbers of the utterances.
        """
        x, y = self._places.T
        found = np.flatnonzero((x >= left) & (x <= right) & (y >= top) & (y <= bottom))[:most]
        return self._places[found], self._order[found]

    def inside(self, polygon: np.ndarray) -> np.ndarray:
        """All utterances in a polygon, (corners, 2)."""
        low, high = polygon.min(axis=0), polygon.max(axis=0)
        near = np.flatnonzero(((self._places >= low) & (self._places <= high)).all(axis=1))
        x, y = self._places[near].T
        inside = np.zeros(len(near), bool)
        for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if y1 != y2:
                crosses = (y1 > y) != (y2 > y)
                inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
        return np.sort(self._order[near[inside]])


def _read(file: Path, count: int, digest: np.ndarray) -> np.ndarray | None:
    try:
        with open_file(file) as opened:
            content = np.load(opened)
    except (UnspeechError, OSError, ValueError, EOFError):
        return None
    if content.shape != (count + 2, 2) or content[:2].tobytes() != digest.tobytes():
        return None
    return content[2:]


def _place(vectors: np.ndarray) -> np.ndarray:
    """Places of all vectors in the square from 0 to 1, (utterances, 2) float32."""
    count = len(vectors)
    rng = np.random.default_rng(SEED)
    marks = np.sort(rng.choice(count, min(count, LANDMARKS), replace=False))
    landmarks = np.asarray(vectors[marks], np.float32)
    if len(marks) < 5:
        places = rng.random((len(marks), 2))
    else:
        places = np.asarray(project(landmarks, SEED), np.float64)
    low, high = places.min(axis=0), places.max(axis=0)
    places = (places - low) / np.maximum(high - low, 1e-9)
    if len(marks) == count:
        return places.astype(np.float32)
    out = np.empty((count, 2), np.float32)
    for start in range(0, count, BLOCK):
        block = np.asarray(vectors[start : start + BLOCK], np.float32)
        near = nearest_centroids(block, landmarks, BETWEEN)
        away = np.linalg.norm(block[:, None] - landmarks[near], axis=2) + 1e-6
        weights = away**-2 / (away**-2).sum(axis=1, keepdims=True)
        found = (weights[..., None] * places[near]).sum(axis=1)
        out[start : start + BLOCK] = found + rng.normal(scale=0.002, size=found.shape)
    out[marks] = places
    return out
