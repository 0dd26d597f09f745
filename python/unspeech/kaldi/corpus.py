"""A corpus's features, in arrays or in files that are mapped or read, and windows cut from them."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.files.text import open_file
from unspeech.kaldi.archives import iterate_arrays

# Bytes of files that are mapped; windows of the others are read. Pages of a map count as resident
# memory once touched, and dropping them to map others takes longer than reading does.
_MAPPED_AT_MOST = 1 << 30
_CEPSTRA_FRAMES = 30, 500  # that show whether features are cepstra: at least, at most


class Corpus:
    """Features of many utterances: where they lie, in arrays or files, and windows cut from them.

    Attributes:
        utterances: names, in the order of the input.
        lengths: (utterances,) int64, frames of each.

    Args:
        utterances, lengths: see above.
        dim: of a frame.
        sources: (bytes,) uint8 arrays or files that the features lie in.
        source_of: (utterances,) index of each utterance's source.
        offsets: (utterances,) first byte of each utterance in its source; then its frames follow
            without a gap.
        dtype: float32 or float16.
    """

    def __init__(
        self,
        utterances: list[str],
        lengths: np.ndarray,
        dim: int,
        sources: "list[np.ndarray | SourceFile]",
        source_of: np.ndarray,
        offsets: np.ndarray,
        dtype: str = "float32",
    ) -> None:
        self.utterances, self.lengths = utterances, lengths
        self._dim, self._dtype = dim, np.dtype(dtype)
        self._frame_bytes = dim * self._dtype.itemsize
        self._sources, self._source_of, self._offsets = sources, source_of, offsets
        # At hand, since calling a method for each window would cost 5 % of the rate.
        self._handles = [s.handle if isinstance(s, SourceFile) else None for s in sources]

    @classmethod
    def in_memory(cls, utterances: list[str], matrices: list[np.ndarray]) -> "Corpus":
        """A corpus of (frames, dim) float32 matrices."""
        return cls(
            utterances,
            np.array([len(matrix) for matrix in matrices], np.int64),
            matrices[0].shape[1],
            [np.ascontiguousarray(m, np.float32).reshape(-1).view(np.uint8) for m in matrices],
            np.arange(len(matrices)),
            np.zeros(len(matrices), np.int64),
        )

    def features(self, index: int) -> np.ndarray:
        """(frames, dim) float32, a copy, of one utterance."""
        return self.windows(np.array([index]), np.array([0]), int(self.lengths[index]))[0]

    def windows(self, utterances: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
        """Cut windows of one length.

        Args:
            utterances: (n,) indices.
            starts: (n,) first frame of each window in its utterance.
            length: frames.
        Returns:
            (n, length, dim) float32.
        """
        cut = np.empty((len(utterances), length * self._frame_bytes), np.uint8)
        places = zip(
            cut,
            self._source_of[utterances].tolist(),
            (self._offsets[utterances] + starts * self._frame_bytes).tolist(),
            strict=True,
        )
        size, missing = cut.shape[1], 0
        for window, index, offset in places:
            handle = self._handles[index]
            if handle is None:
                window[:] = self._sources[index][offset : offset + size]
            else:
                missing += size - os.preadv(handle, (window,), offset)
        if missing:
            raise self._cut_short()
        windows = cut.view(self._dtype).reshape(len(utterances), length, self._dim)
        return windows.astype(np.float32, copy=False)

    def _cut_short(self) -> UnspeechError:
        files = [source for source in self._sources if isinstance(source, SourceFile)]
        shortest = min(files, key=lambda file: os.fstat(file.handle).st_size / file.size)
        return UnspeechError(f"{shortest.path}: the file has been cut short since it was opened")


class SourceFile:
    """A file that stays open, so that it can be replaced by another while it is in use."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        with open_file(path) as file:
            self.handle = os.dup(file.fileno())
        self.size = os.fstat(self.handle).st_size

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            os.close(self.handle)

    def read(self, size: int, offset: int) -> bytes:
        return os.pread(self.handle, size, offset)

    def mapped(self) -> np.ndarray:
        """(bytes,) uint8: this file, even if another has its name by now."""
        with os.fdopen(os.dup(self.handle), "rb") as file:
            return np.memmap(file, np.uint8, "r").view(np.ndarray)


def map_files(files: list[SourceFile]) -> "list[np.ndarray | SourceFile]":
    """Map the files as far as `_MAPPED_AT_MOST` allows; the others are left to be read."""
    sources: list[np.ndarray | SourceFile] = []
    left = _MAPPED_AT_MOST
    for file in files:
        mapped = 0 < file.size <= left
        left -= file.size * mapped
        sources.append(file.mapped() if mapped else file)
    return sources


def check_features(
    utterance: str, features: np.ndarray, source: str | Path, feat_size: int
) -> None:
    """Refuse features that a model cannot take.

    Raises:
        UnspeechError: when they are not a matrix, have another dimension than `feat_size`, no
            frame, or a NaN or infinite value, or are MFCC.
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
    if _are_cepstra(features):
        raise UnspeechError(
            f"{where}: these look like MFCC; log-FBANK is wanted: copy the data directory without "
            "features, by steps_unspeech/import_corpus.sh --features false, and make them with "
            "steps_unspeech/make_fbank.sh"
        )


def _are_cepstra(features: np.ndarray) -> bool:
    """Whether (frames, dim) features are MFCC, which often have as many dimensions as FBANK.

    Neighbouring mel bands share what they hear, so their energies rise and fall together, with
    correlations above 0.8 in speech; cepstra are made to be uncorrelated, and stay below 0.6. Noise
    alone has 0.4 in mel bands. But its lowest band is hardly above all others, as the first
    cepstrum is; and where it is, by a rumble, the others are not below 0 as often as above.
    """
    least, most = _CEPSTRA_FRAMES
    if len(features) < least or features.shape[1] < 2:
        return False
    some = features[:: -(-len(features) // most)].astype(np.float64)
    powers = np.square(some).mean(axis=0)
    negative = np.mean(some[:, 1:] < 0)
    if powers[0] < 1.2**2 * powers[1:].max() or not 0.2 < negative < 0.8:
        return False
    some -= some.mean(axis=0)
    deviations = some.std(axis=0)
    together = np.sum(some[:, 1:] * some[:, :-1]) / len(some)
    return bool(together < 0.7 * np.sum(deviations[1:] * deviations[:-1]))


def decoded_features(source: Path, feat_size: int) -> Iterator[tuple[str, np.ndarray]]:
    seen = set()
    for utterance, features in iterate_arrays(source):
        if utterance in seen:
            raise UnspeechError(f"{source}: utterance '{utterance}' occurs twice; remove one")
        seen.add(utterance)
        check_features(utterance, features, source, feat_size)
        yield utterance, features


def pad_windows(windows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Stack windows of any length, zeros after the shorter ones.

    Returns:
        (windows, longest, dim) float32 and (windows,) int32 lengths.
    """
    lengths = np.array([len(window) for window in windows], np.int32)
    padded = np.zeros((len(windows), lengths.max(), windows[0].shape[1]), np.float32)
    for i, window in enumerate(windows):
        padded[i, : len(window)] = window
    return padded, lengths
