"""Kaldi archives in and out: ark and scp files, matrices and vectors.

Reading takes every kind of matrix that Kaldi writes (float, double, compressed, text, ranges in
scp entries, `.ark.gz`); writing leaves nothing under a final name until it is complete.
Source: Kaldi's `src/util/kaldi-table.h` and `src/matrix/compressed-matrix.h`.
"""

import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import kaldiio
import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.cli.processes import pipe_output
from unspeech.files.atomic import atomic_write
from unspeech.files.text import open_file
from unspeech.kaldi.objects import read_key, read_object
from unspeech.kaldi.tables import read_table


def split_entry(entry: str) -> tuple[str, int, str]:
    """Split an scp entry, `file.ark:offset[range]`.

    Returns:
        (file or pipe, offset, range without its brackets); 0 and "" where there is none.
    """
    limits = ""
    if entry.endswith("]"):
        entry, _, limits = entry[:-1].rpartition("[")
    file, _, offset = entry.rpartition(":")
    return (file, int(offset), limits) if file and _OFFSET.fullmatch(offset) else (entry, 0, limits)


_OFFSET = re.compile(r"[0-9]{1,18}")  # no file is longer


def select_range(
    limits: str, rows: int, columns: int, utterance: str, source: str | Path
) -> tuple[slice, slice]:
    """Which rows and columns of a matrix a range of an scp stands for.

    Args:
        limits: `first:last` rows, and perhaps `,first:last` columns, both ends included; `:` or
            nothing for all. Rows may end up to 3 after the last one, as in Kaldi.
        rows, columns: of the matrix.
        utterance, source: for the error message.
    Raises:
        UnspeechError: when it is malformed or goes beyond the matrix.
    Source: Kaldi's `src/util/kaldi-holder.cc`.
    """
    match = _RANGE.fullmatch(limits)
    if match:
        ends = [group and int(group) for group in match.groups()]
        first, last = (0, rows - 1) if ends[0] is None else ends[:2]
        left, right = (0, columns - 1) if ends[2] is None else ends[2:]
        if first <= last < rows + 3 and first < rows and left <= right < columns:
            return slice(first, min(last, rows - 1) + 1), slice(left, right + 1)
    raise UnspeechError(
        f"{source}: utterance '{utterance}': there is no range [{limits}] in a matrix of {rows} "
        f"rows and {columns} columns; correct it"
    )


_LIMITS = r"(?::|([0-9]{1,10}):([0-9]{1,10}))?"
_RANGE = re.compile(f"{_LIMITS}(?:,{_LIMITS})?")


def read_array(utterance: str, entry: str, source: str | Path) -> np.ndarray:
    """Read the matrix or vector that an scp entry points at.

    Args:
        utterance: for the error message.
        entry: the right side of the scp line: `file.ark:offset`, optionally with a range, or a
            command whose output is the array.
        source: the scp file, for the error message.
    Returns:
        (frames, dim) or (dim,) float32.
    Raises:
        UnspeechError: when the archive is missing, truncated or not an archive, or the range goes
            beyond it.
    """
    file, offset, limits = split_entry(entry)
    where = f"{source}: utterance '{utterance}'"
    try:
        if file.endswith("|"):
            array = read_object(io.BytesIO(pipe_output(file)))
        else:
            with open_file(file) as ark:
                if offset >= os.fstat(ark.fileno()).st_size:
                    raise ValueError("lies beyond the end of its archive")
                ark.seek(offset)
                array = read_object(ark)
    except UnspeechError as error:
        raise UnspeechError(f"{where}: {error}") from None
    except ValueError as error:
        raise UnspeechError(
            f"{where}: cannot read {entry}: {error}: truncated, or not a Kaldi archive; make it "
            "again"
        ) from None
    if limits:
        rows, columns = select_range(limits, *np.atleast_2d(array.T).T.shape, utterance, source)
        array = array[rows, columns] if array.ndim == 2 else array[rows]
    return array


def iterate_arrays(path: str | Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (utterance, float32 array) from an `.scp`, `.ark` or `.ark.gz` file, in its order.

    Raises:
        UnspeechError: naming the file, and the utterance once it is known.
    """
    path = Path(path)
    if path.name.endswith((".ark", ".ark.gz")):
        empty = True
        with open_file(path) as file:
            stream = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
            for found in iterate_stream(stream, path):
                empty = False
                yield found
        if empty:
            raise UnspeechError(f"{path}: the archive holds no utterance")
        return
    for utterance, entry in read_table(path).items():
        yield utterance, read_array(utterance, entry, path)


def iterate_stream(file: BinaryIO, name: str | Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (utterance, float32 array) from an archive that is read from its beginning to its end.

    Args:
        name: of the archive, for the error message.
    Raises:
        UnspeechError: when it is truncated, or not an archive.
    """
    last = None
    while True:
        try:
            utterance = read_key(file)
            if utterance is None:
                break
            array = read_object(file)
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            where = f"after utterance '{last}'" if last else "at its start"
            raise UnspeechError(
                f"{name}: {where}: {error}: truncated, or not a Kaldi archive; make it again"
            ) from None
        last = utterance
        yield utterance, array


_AUTOMATIC = 1  # Kaldi's method of compression: by the number of rows


class ArkWriter:
    """Write an ark, binary or text, with its scp; both get their names when the block ends well.

    The scp's entries point at the ark's final name, as given (Kaldi's habit: relative names
    stay relative to where the recipe runs). With `compress`, matrices are written with loss as
    `copy-feats --compress=true` does, at a byte a number, two with at most 8 rows.

        with ArkWriter("exp/ivectors/ivector_online.1.ark") as writer:
            writer.write("utterance", matrix)
    """

    def __init__(
        self,
        ark: str | Path,
        scp: str | Path | None = None,
        text: bool = False,
        compress: bool = False,
    ) -> None:
        self.ark = Path(ark)
        self.text, self.compress = text, compress
        self.scp = Path(scp) if scp else self.ark.with_suffix(".scp")
        self.count = 0

    def __enter__(self) -> "ArkWriter":
        self._lines: list[str] = []
        self._context = atomic_write(self.ark, "wb")
        self._file = self._context.__enter__()
        return self

    def write(self, utterance: str, array: np.ndarray) -> None:
        """Append a (frames, dim) matrix or a (dim,) vector as float32.

        Raises:
            UnspeechError: naming the utterance one of whose numbers is not finite.
        """
        with np.errstate(over="ignore"):
            array = np.asarray(array, dtype=np.float32)
        if not np.isfinite(array).all():
            raise UnspeechError(
                f"{self.ark}: utterance '{utterance}': NaN or infinite numbers would be written; "
                "look at what they are made from, and at the options"
            )
        name = utterance.encode()
        self._lines.append(f"{utterance} {self.ark}:{self._file.tell() + len(name) + 1}\n")
        method = _AUTOMATIC if self.compress and array.ndim == 2 else None
        kaldiio.save_ark(
            self._file,
            {utterance: array},
            text=self.text,
            compression_method=method,
        )
        self.count += 1

    def __exit__(self, kind, error, trace) -> None:
        self._context.__exit__(kind, error, trace)
        if kind is None:
            with atomic_write(self.scp) as file:
                file.writelines(self._lines)


def join_scps(parts: list[str | Path]) -> dict[str, tuple[str, str | Path]]:
    """Join the scp files of a step's jobs.

    Returns: {utterance: (entry, the part that has it)}, sorted by utterance in the C locale.
    Raises:
        UnspeechError: when a part is missing or an utterance occurs in two of them.
    """
    entries: dict[str, tuple[str, str | Path]] = {}
    for part in parts:
        if not os.path.exists(part):
            raise UnspeechError(f"{part}: missing; its job did not finish, see its log")
        if os.path.getsize(part) == 0:
            continue
        for utterance, entry in read_table(part).items():
            if utterance in entries:
                raise UnspeechError(f"{part}: utterance '{utterance}' is in two parts")
            entries[utterance] = entry, part
    return dict(sorted(entries.items()))
