"""Decoded features in a directory, to be mapped: for corpora of more than fits into memory."""

import hashlib
import os
import re
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.files.atomic import atomic_write
from unspeech.kaldi.archives import split_entry
from unspeech.kaldi.corpus import Corpus, SourceFile, decoded_features, map_files
from unspeech.kaldi.tables import read_table, write_table


class FeatureCache:
    """Decoded features in a directory: one flat file, an index, and what they were made from.

    Args:
        directory: where they are.
        source: the file of features.
        feat_size: dimension of a frame.
        dtype: type of the numbers.
        gone: whether the features, or some of them, are no longer there.
    """

    def __init__(
        self, directory: Path, source: Path, feat_size: int, dtype: str, gone: bool = False
    ) -> None:
        self.directory, self.source = directory, source
        self.feat_size, self.dtype = feat_size, dtype
        self.frames, self.index = directory / "frames", directory / "index"
        self._made_from = directory / "made_from"
        self._origin = {"feat_size": str(feat_size), "memmap_dtype": dtype}
        self._origin["source"] = os.path.realpath(source)
        if not gone:
            self._origin["features"] = _fingerprint(source)

    def is_made(self) -> bool:
        """Whether it is complete.

        Raises:
            UnspeechError: when it was made from other features.
        """
        if not self._made_from.exists():
            return False
        made_from = read_table(self._made_from)
        # Features that are there may have been moved; of others, only their place can tell.
        asked = [
            name for name in self._origin if name != "source" or "features" not in self._origin
        ]
        made_from.setdefault("source", self._origin["source"])  # older caches lack it
        differing = [name for name in sorted(asked) if made_from.get(name) != self._origin[name]]
        if differing:
            raise UnspeechError(
                f"{self.directory} was made from something else than {self.source} "
                f"({', '.join(differing)} differ); give another memmap_dir, or "
                "--memmap-reuse-cache false to make it again"
            )
        return True

    def make(self) -> None:
        """Decode the features; `made_from` is written last."""
        self._made_from.unlink(missing_ok=True)
        lengths: dict[str, int] = {}
        with atomic_write(self.frames, "wb") as file:
            for utterance, features in decoded_features(self.source, self.feat_size):
                with np.errstate(over="ignore"):
                    numbers = features.astype(self.dtype)
                if not np.isfinite(numbers).all():
                    raise UnspeechError(
                        f"{self.source}: utterance '{utterance}': {np.abs(features).max():g} is "
                        f"too large for {self.dtype}; use memmap_dtype float32"
                    )
                file.write(numbers.tobytes())
                lengths[utterance] = len(features)
        with atomic_write(self.index) as file:
            file.writelines(f"{utterance} {length}\n" for utterance, length in lengths.items())
        write_table(self._made_from, self._origin)

    def load(self) -> Corpus:
        """Map it.

        Raises:
            UnspeechError: when it is damaged.
        """
        index = read_table(self.index)
        if not all(_LENGTH.fullmatch(length) for length in index.values()):
            raise UnspeechError(f"{self.index}: damaged; remove {self.directory}")
        lengths = np.array(list(index.values())).astype(np.int64)
        frame_bytes = self.feat_size * np.dtype(self.dtype).itemsize
        ends = np.cumsum(lengths) * frame_bytes
        file = SourceFile(self.frames)
        if file.size != ends[-1]:
            raise UnspeechError(
                f"{self.frames}: {file.size} bytes, but {self.index} says {ends[-1]}; remove "
                f"{self.directory}"
            )
        zeros = np.zeros(len(index), np.int32)
        offsets = ends - lengths * frame_bytes
        return Corpus(
            list(index), lengths, self.feat_size, map_files([file]), zeros, offsets, self.dtype
        )


_LENGTH = re.compile(r"[0-9]{1,12}")  # frames of an utterance


def _fingerprint(source: Path) -> str:
    """Digest of the text of an scp, and of size and time of all archives."""
    archives = {str(source)}
    digest = hashlib.md5(usedforsecurity=False)
    if not source.name.endswith((".ark", ".gz")):
        digest.update(source.read_bytes())
        entries = read_table(source).values()
        archives = {split_entry(entry)[0] for entry in entries}
    for archive in sorted(archives):
        if os.path.exists(archive):  # no pipe
            status = os.stat(archive)
            digest.update(f"{archive} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
