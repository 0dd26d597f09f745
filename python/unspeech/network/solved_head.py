"""The head solved from contexts, as it is applied; `embedding.solving` solves it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SolvedHead:
    """Maps pooled values to an embedding.

    Attributes:
        mean: (width,) of the corpus that it is for.
        matrix: (width, width) that whitens, and keeps the axes as far as it can.
        directions: (width, dim) of what comes out, those that vary most between recordings
            compared with what varies within them; none where all are wanted.
        scale: (width,) standard deviation of each value in the training corpus.
        covariance: (width, width) that it was solved from, of values over `scale`.
        prior: (sums_width,) sums over an average frame of that corpus, or empty.
        limit: what comes out of the matrix ends smoothly at this value and its negative, so that
            one that is far from those of the training corpus cannot outweigh the others; 0: it
            does not.
    """

    mean: np.ndarray
    matrix: np.ndarray
    directions: np.ndarray
    scale: np.ndarray
    covariance: np.ndarray
    prior: np.ndarray
    limit: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(…, width) values to (…, dim) float32 embeddings."""
        embedded = (values - self.mean).astype(np.float32) @ self.matrix
        if self.limit:
            embedded = np.float32(self.limit) * np.tanh(embedded / np.float32(self.limit))
        return embedded @ self.directions if self.directions.size else embedded

    @property
    def dim(self) -> int:
        """Of an embedding."""
        return self.directions.shape[1] if self.directions.size else self.matrix.shape[1]

    def arrays(self) -> dict[str, np.ndarray]:
        """What is stored in a model, by name."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "SolvedHead":
        """The other way round."""
        return cls(**{**arrays, "limit": float(arrays["limit"])})


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Scale (…, dim) vectors to unit length, float32; one without a direction stays zero."""
    vectors = vectors.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
