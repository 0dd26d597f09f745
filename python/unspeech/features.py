"""A corpus's features, ready for windows: one flat array of frames and where utterances start."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unspeech.archives import iterate_arrays
from unspeech.errors import UnspeechError


@dataclass(frozen=True)
class Corpus:
    """Features of many utterances in one array.

    Attributes:
        utterances: names, in the order of the input.
        frames: (all frames, dim) float32, utterance after utterance.
        starts: (utterances + 1,) int64, first frame of each utterance; the last is the total.
    """

    utterances: list[str]
    frames: np.ndarray
    starts: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """(utterances,) int64, frames of each utterance."""
        return np.diff(self.starts)

    def features(self, index: int) -> np.ndarray:
        """(frames, dim) view of one utterance."""
        return self.frames[self.starts[index] : self.starts[index + 1]]

    def windows(self, utterances: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
        """Cut windows of one length.

        Args:
            utterances: (n,) indices.
            starts: (n,) first frame of each window in its utterance.
            length: frames.
        Returns:
            (n, length, dim) float32.
        """
        return self.frames[(self.starts[utterances] + starts)[:, None] + np.arange(length)]


def feature_file(data: str | Path) -> Path:
    """The feature file of a data directory, or the `.scp`/`.ark` file itself.

    Raises:
        UnspeechError: when there is none.
    """
    path = Path(data)
    if path.is_dir():
        path = path / "feats.scp"
        if not path.exists():
            raise UnspeechError(f"{path}: no such file; run steps_unspeech/make_fbank.sh first")
    return path


def check_features(
    utterance: str, features: np.ndarray, source: str | Path, feat_size: int
) -> None:
    """Refuse features that a model cannot take.

    Raises:
        UnspeechError: when they are not a matrix, have another dimension than `feat_size`, no
            frame, or a NaN or infinite value.
    """
    where = f"{source}: utterance '{utterance}'"
    if features.ndim != 2 or features.shape[0] == 0:
        raise UnspeechError(f"{where}: has no frames; remove it from the data directory")
    if features.shape[1] != feat_size:
        raise UnspeechError(
            f"{where}: features have {features.shape[1]} dimensions, the model expects "
            f"{feat_size}; make them with steps_unspeech/make_fbank.sh, or set feat_size"
        )
    finite = np.isfinite(features)
    if not finite.all():
        frame = int(np.argwhere(~finite.all(axis=1))[0, 0])
        raise UnspeechError(
            f"{where}: NaN or infinite value in frame {frame}; make its features again"
        )


def load_corpus(data: str | Path, feat_size: int) -> Corpus:
    """Read all features of a data directory (or `.scp`, `.ark`, `.ark.gz` file) into memory.

    Raises:
        UnspeechError: naming file and utterance, see `check_features` and `archives`.
    """
    source = feature_file(data)
    utterances, matrices = [], []
    for utterance, features in iterate_arrays(source):
        check_features(utterance, features, source, feat_size)
        utterances.append(utterance)
        matrices.append(features)
    starts = np.concatenate([[0], np.cumsum([len(matrix) for matrix in matrices])]).astype(np.int64)
    return Corpus(utterances, np.concatenate(matrices), starts)
