"""A corpus's features, in memory or in files, ready for windows.

Data directories, `.scp`, `.ark` and `.ark.gz` files are taken, whatever Kaldi wrote into them.

    corpus = load_corpus("data/train", feat_size=40, memmap_dir="/ssd/cache")
    corpus.features(0), corpus.windows(np.array([0, 7]), np.array([10, 0]), length=64)
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.files.text import open_file
from unspeech.kaldi.archives import iterate_arrays, select_range, split_entry
from unspeech.kaldi.tables import atomic_write, read_table, write_table
from unspeech.network.config import setting

# Bytes of files that are mapped; windows of the others are read. Pages of a map count as resident
# memory once touched, and dropping them to map others takes longer than reading does.
_MAPPED_AT_MOST = 1 << 30
_FILES_AT_MOST = 500  # that are kept open
_CACHE_TYPES = ("float32", "float16")
# How a float matrix begins in an ark: a mark, then rows and columns, each after its size in bytes.
# Source: Kaldi's `src/matrix/kaldi-matrix.cc`.
_FLOAT_MATRIX = b"\0BFM \4"
_HEADER = np.dtype([("mark", "S6"), ("rows", "<i4"), ("size", "S1"), ("dim", "<i4")])


@dataclass(frozen=True)
class MemmapOptions:
    """How `load_corpus` takes features that do not lie in an uncompressed archive."""

    memmap_dir: str = setting(
        "", "decode features once into a file here and map it; uncompressed archives are mapped "
        "where they are"
    )  # fmt: skip
    memmap_dtype: str = setting("float32", "type of the numbers in that file, or float16")
    memmap_reuse_cache: bool = setting(
        True, "use the file again if it was made from the same features, or if these are no longer "
        "there; else make it again"
    )  # fmt: skip


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
        sources: "list[np.ndarray | _File]",
        source_of: np.ndarray,
        offsets: np.ndarray,
        dtype: str = "float32",
    ) -> None:
        self.utterances, self.lengths = utterances, lengths
        self._dim, self._dtype = dim, np.dtype(dtype)
        self._frame_bytes = dim * self._dtype.itemsize
        self._sources, self._source_of, self._offsets = sources, source_of, offsets
        # At hand, since calling a method for each window would cost 5 % of the rate.
        self._handles = [s.handle if isinstance(s, _File) else None for s in sources]

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
        files = [source for source in self._sources if isinstance(source, _File)]
        shortest = min(files, key=lambda file: os.fstat(file.handle).st_size / file.size)
        return UnspeechError(f"{shortest.path}: the file has been cut short since it was opened")


class _File:
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


def _mapped(files: list[_File]) -> "list[np.ndarray | _File]":
    """Map the files as far as `_MAPPED_AT_MOST` allows; the others are left to be read."""
    sources: list[np.ndarray | _File] = []
    left = _MAPPED_AT_MOST
    for file in files:
        mapped = file.size <= left
        left -= file.size * mapped
        sources.append(np.memmap(file.path, np.uint8, "r").view(np.ndarray) if mapped else file)
    return sources


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


def load_corpus(
    data: str | Path,
    feat_size: int,
    memmap_dir: str | Path = "",
    memmap_dtype: str = "float32",
    memmap_reuse_cache: bool = True,
) -> Corpus:
    """Take the features of a data directory, or of an `.scp`, `.ark` or `.ark.gz` file.

    What an scp finds in uncompressed float archives stays there and is mapped. Anything else is
    decoded: into memory, or with `memmap_dir` into one file there that is mapped.

    Args:
        data: data directory or file.
        feat_size: dimension of a frame.
        memmap_dir: directory of the decoded features.
        memmap_dtype: type of the numbers in it; float16 is for archives that could be mapped, too.
        memmap_reuse_cache: use what is in `memmap_dir` again if it was made from these features, or
            if these do not stand where they were; else replace it.
    Raises:
        UnspeechError: naming file and utterance, see `check_features` and `archives`; when
            `memmap_dir` was made from something else.
    """
    if memmap_dtype not in _CACHE_TYPES:
        raise UnspeechError(f"memmap_dtype is {memmap_dtype}; it can be {_CACHE_TYPES}")
    if memmap_dir and memmap_reuse_cache and not _is_whole(data):
        cache = _Cache(Path(memmap_dir), None, feat_size, memmap_dtype)
        if cache.is_made():
            return cache.load()
    source = feature_file(data)
    if memmap_dtype == "float32" and not source.name.endswith((".ark", ".gz")):
        corpus = _map_archives(source, feat_size)
        if corpus:
            return corpus
    if memmap_dir:
        cache = _Cache(Path(memmap_dir), source, feat_size, memmap_dtype)
        if not (memmap_reuse_cache and cache.is_made()):
            cache.make()
        return cache.load()
    if memmap_dtype != "float32":
        raise UnspeechError("memmap_dtype is of the file in memmap_dir; give memmap_dir, too")
    utterances, matrices = zip(*_decoded(source, feat_size), strict=True)
    return Corpus.in_memory(list(utterances), list(matrices))


def _is_whole(data: str | Path) -> bool:
    """Whether features stand where they were: the file of them, and the archives of an scp."""
    path = Path(data)
    path = path / "feats.scp" if path.is_dir() else path
    if not path.exists() or path.name.endswith((".ark", ".gz")):
        return path.exists()
    archives = {split_entry(entry)[0] for entry in read_table(path).values()}
    return all(archive.endswith("|") or os.path.exists(archive) for archive in archives)


def _decoded(source: Path, feat_size: int) -> Iterator[tuple[str, np.ndarray]]:
    seen = set()
    for utterance, features in iterate_arrays(source):
        if utterance in seen:
            raise UnspeechError(f"{source}: utterance '{utterance}' occurs twice; remove one")
        seen.add(utterance)
        check_features(utterance, features, source, feat_size)
        yield utterance, features


def _map_archives(scp: Path, feat_size: int) -> Corpus | None:
    """The features that an scp points at, where they are; None if they must be decoded."""
    table = read_table(scp)
    utterances = list(table)
    numbers: dict[str, int] = {}
    files: list[_File] = []
    source_of = np.empty(len(table), np.int32)
    offsets = np.empty(len(table), np.int64)
    ranges: dict[int, str] = {}
    for i, (utterance, entry) in enumerate(table.items()):
        name, offsets[i], limits = split_entry(entry)
        if limits:
            ranges[i] = limits
        if name not in numbers:
            if name.endswith("|") or len(files) == _FILES_AT_MOST:
                return None
            numbers[name] = len(files)
            try:
                files.append(_File(name))
            except UnspeechError as error:
                raise UnspeechError(f"{scp}: utterance '{utterance}': {error}") from None
        source_of[i] = numbers[name]

    size = _HEADER.itemsize
    places = zip(source_of.tolist(), offsets.tolist(), strict=True)
    found = [files[number].read(size, offset) for number, offset in places]
    if not all(_FLOAT_MATRIX.startswith(header[: len(_FLOAT_MATRIX)]) for header in found):
        return None
    headers = np.frombuffer(b"".join(header.ljust(size, b"\0") for header in found), _HEADER)
    rows, dims = headers["rows"].astype(np.int64), headers["dim"].astype(np.int64)
    offsets += size
    sizes = np.array([file.size for file in files])[source_of]
    cut_short = np.flatnonzero((offsets + 4 * rows * dims > sizes) | (rows < 0) | (dims < 0))
    if cut_short.size:
        utterance = utterances[cut_short[0]]
        raise UnspeechError(
            f"{scp}: utterance '{utterance}': {table[utterance]} lies beyond the end of its "
            "archive: truncated, or not the archive that the scp was made with; make it again"
        )
    for i, limits in ranges.items():
        chosen, columns = select_range(limits, rows[i], dims[i], utterances[i], scp)
        if columns != slice(0, dims[i]):
            return None
        offsets[i] += 4 * dims[i] * chosen.start
        rows[i] = chosen.stop - chosen.start
    for i in np.flatnonzero((rows == 0) | (dims != feat_size))[:1]:
        check_features(utterances[i], np.zeros((rows[i], dims[i])), scp, feat_size)
    corpus = Corpus(utterances, rows, feat_size, _mapped(files), source_of, offsets)
    for i, utterance in enumerate(utterances):
        check_features(utterance, corpus.features(i), scp, feat_size)
    return corpus


class _Cache:
    """Decoded features in a directory: one flat file, an index, and what they were made from.

    Args:
        directory: where they are.
        source: the file of features; None if it is no longer there.
        feat_size: dimension of a frame.
        dtype: type of the numbers.
    """

    def __init__(self, directory: Path, source: Path | None, feat_size: int, dtype: str) -> None:
        self.directory, self.source = directory, source
        self.feat_size, self.dtype = feat_size, dtype
        self.frames, self.index = directory / "frames", directory / "index"
        self._made_from = directory / "made_from"
        self._origin = {"feat_size": str(feat_size), "memmap_dtype": dtype}
        if source:
            self._origin["features"] = _fingerprint(source)

    def is_made(self) -> bool:
        """Whether it is complete.

        Raises:
            UnspeechError: when it was made from other features.
        """
        if not self._made_from.exists():
            return False
        made_from = read_table(self._made_from)
        differing = [name for name, value in self._origin.items() if made_from.get(name) != value]
        if differing:
            asked = self.source or "these settings"
            raise UnspeechError(
                f"{self.directory} was made from something else than {asked} "
                f"({', '.join(differing)} differ); give another memmap_dir, or "
                "--memmap-reuse-cache false to make it again"
            )
        return True

    def make(self) -> None:
        """Decode the features; `made_from` is written last."""
        self._made_from.unlink(missing_ok=True)
        lengths: dict[str, int] = {}
        with atomic_write(self.frames, "wb") as file:
            for utterance, features in _decoded(self.source, self.feat_size):
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
        file = _File(self.frames)
        if file.size != ends[-1]:
            raise UnspeechError(
                f"{self.frames}: {file.size} bytes, but {self.index} says {ends[-1]}; remove "
                f"{self.directory}"
            )
        zeros = np.zeros(len(index), np.int32)
        offsets = ends - lengths * frame_bytes
        return Corpus(
            list(index), lengths, self.feat_size, _mapped([file]), zeros, offsets, self.dtype
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
