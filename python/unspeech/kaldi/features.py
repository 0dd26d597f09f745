"""A corpus's features, in memory or in files, ready for windows.

Data directories, `.scp`, `.ark` and `.ark.gz` files are taken, whatever Kaldi wrote into them.

    corpus = load_corpus("data/train", feat_size=40, memmap_dir="/ssd/cache")
    corpus.features(0), corpus.windows(np.array([0, 7]), np.array([10, 0]), length=64)
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.files.settings import setting
from unspeech.kaldi.archives import select_range, split_entry
from unspeech.kaldi.corpus import Corpus, SourceFile, check_features, decoded_features, map_files
from unspeech.kaldi.feature_cache import FeatureCache
from unspeech.kaldi.tables import read_table

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


def load_corpus(
    data: str | Path,
    feat_size: int,
    memmap_dir: str | Path = "",
    memmap_dtype: str = "float32",
    memmap_reuse_cache: bool = True,
    keep: bool = True,
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
        keep: whether what would be decoded into memory is kept there; else it is only checked, and
            the corpus has names and lengths alone.
    Raises:
        UnspeechError: naming file and utterance, see `check_features` and `archives`; when
            `memmap_dir` was made from something else.
    """
    if memmap_dtype not in _CACHE_TYPES:
        raise UnspeechError(f"memmap_dtype is {memmap_dtype}; it can be {_CACHE_TYPES}")
    if memmap_dir and memmap_reuse_cache and not _is_whole(_place_of(data)):
        cache = FeatureCache(Path(memmap_dir), _place_of(data), feat_size, memmap_dtype, gone=True)
        if cache.is_made():
            return cache.load()
    source = feature_file(data)
    if memmap_dtype == "float32" and not source.name.endswith((".ark", ".gz")):
        corpus = _map_archives(source, feat_size)
        if corpus:
            return corpus
    if memmap_dir:
        cache = FeatureCache(Path(memmap_dir), source, feat_size, memmap_dtype)
        if not (memmap_reuse_cache and cache.is_made()):
            cache.make()
        return cache.load()
    if memmap_dtype != "float32":
        raise UnspeechError("memmap_dtype is of the file in memmap_dir; give memmap_dir, too")
    if not keep:
        lengths = {name: len(frames) for name, frames in decoded_features(source, feat_size)}
        nowhere, counts = np.zeros(len(lengths), np.int64), np.array(list(lengths.values()))
        return Corpus(list(lengths), counts, feat_size, [], nowhere, nowhere)
    utterances, matrices = zip(*decoded_features(source, feat_size), strict=True)
    return Corpus.in_memory(list(utterances), list(matrices))


def _place_of(data: str | Path) -> Path:
    """Where the features of a data directory or file are, or were."""
    path = Path(data)
    return path if path.name.endswith((".scp", ".ark", ".gz")) else path / "feats.scp"


def _is_whole(path: Path) -> bool:
    """Whether features stand where they were: the file of them, and the archives of an scp."""
    if not path.exists() or path.name.endswith((".ark", ".gz")):
        return path.exists()
    archives = {split_entry(entry)[0] for entry in read_table(path).values()}
    return all(archive.endswith("|") or os.path.exists(archive) for archive in archives)


def _map_archives(scp: Path, feat_size: int) -> Corpus | None:
    """The features that an scp points at, where they are; None if they must be decoded."""
    table = read_table(scp)
    utterances = list(table)
    numbers: dict[str, int] = {}
    files: list[SourceFile] = []
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
                files.append(SourceFile(name))
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
    corpus = Corpus(utterances, rows, feat_size, map_files(files), source_of, offsets)
    for i, utterance in enumerate(utterances):
        check_features(utterance, corpus.features(i), scp, feat_size)
    return corpus
