"""One matrix or vector of an archive, in each of the kinds that Kaldi writes."""

import io
import math
import struct
from typing import BinaryIO

import kaldiio
import numpy as np

# How what an archive holds begins, after the mark of binary data: kind, then sizes. Anything else,
# such as what other libraries put into archives (pickled objects!), is refused.
_BINARY = b"\0B"
_FLOATS = {b"FM ": ("<f4", 2), b"FV ": ("<f4", 1), b"DM ": ("<f8", 2), b"DV ": ("<f8", 1)}
_COMPRESSED = {  # bytes of a column's header and of a number
    b"CM ": (8, 1), b"CM2": (0, 2), b"CM3": (0, 1),
}  # fmt: skip
_LONGEST_KEY = 10_000  # bytes; what has none for so long is no archive
_PIECE = 1 << 24  # bytes asked for at once, so that a damaged size does not take all memory


def read_key(file: BinaryIO) -> str | None:
    """The name of the next utterance; None at the end."""
    key = bytearray()
    while (byte := file.read(1)) not in (b" ", b"\t", b""):
        key += byte
        if len(key) > _LONGEST_KEY:
            raise ValueError("no name of an utterance")
    if not key and not byte:
        return None
    name = key.decode()  # a UnicodeDecodeError is a ValueError
    if not byte or len(name.split()) != 1:
        raise ValueError(f"'{name:.40}' is no name of an utterance")
    return name


def read_object(file: BinaryIO) -> np.ndarray:
    """Read the matrix or vector at a file's position: (rows, columns) or (dim,) float32.

    Raises:
        ValueError: saying what is wrong.
    """
    mark = file.read(len(_BINARY))
    if mark != _BINARY:
        return _read_text_object(mark, file)
    kind = file.read(3)
    if kind in _FLOATS:
        number, axes = _FLOATS[kind]
        fields = struct.unpack("<" + axes * "bi", _take(file, 5 * axes))
        shape = fields[1::2]
        if set(fields[::2]) != {4} or min(shape) < 0:
            raise ValueError("damaged sizes of a matrix or vector")
        size = np.dtype(number).itemsize * math.prod(shape)
        with np.errstate(over="ignore"):
            numbers = np.frombuffer(_take(file, size), number).astype(np.float32)
        return numbers.reshape(shape)
    if kind in _COMPRESSED:
        header = b"" if kind == b"CM " else _take(file, 1)
        header += _take(file, 16)
        rows, columns = struct.unpack("<ii", header[-8:])
        if min(rows, columns) < 0 or header[:-16] not in (b"", b" "):
            raise ValueError("damaged sizes of a compressed matrix")
        of_column, of_number = _COMPRESSED[kind]
        content = _take(file, columns * of_column + rows * columns * of_number)
        array = kaldiio.matio.read_kaldi(io.BytesIO(_BINARY + kind + header + content))
        return np.asarray(array, np.float32)
    raise ValueError(f"begins with {mark + kind!r}: not a matrix or vector of Kaldi's")


def _take(file: BinaryIO, size: int) -> bytes:
    """Exactly so many bytes."""
    pieces = []
    while size > 0:
        piece = file.read(min(size, _PIECE))
        if not piece:
            raise ValueError(f"it ends {size} bytes too early")
        pieces.append(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _read_text_object(mark: bytes, file: BinaryIO) -> np.ndarray:
    """Read ` [ 1 2 3 ]`, a vector, or a matrix: rows are lines, alone after that of the `[`."""
    begin = mark
    while not begin.strip() and len(begin) < _LONGEST_KEY:
        byte = file.read(1)
        if not byte:
            raise ValueError("it ends too early")
        begin += byte
    begin = begin.lstrip()
    if not begin.startswith(b"["):
        raise ValueError(f"begins with {begin + file.read(3)!r}: not a matrix or vector of Kaldi's")
    lines = [begin[1:] + file.readline()]
    while b"]" not in lines[-1]:
        lines.append(file.readline())
        if not lines[-1]:
            raise ValueError("there is no ']' at its end")
    lines[-1], _, rest = lines[-1].partition(b"]")
    if rest.strip():
        raise ValueError(f"'{rest.strip().decode(errors='replace'):.40}' follows a ']'")
    rows = [line.split() for line in lines if line.strip()]
    if len({len(row) for row in rows}) > 1:
        raise ValueError("rows of different lengths")
    with np.errstate(over="ignore"):
        numbers = np.array(rows, np.float64).astype(np.float32)
    return numbers.reshape(-1) if not rows or (lines[0].strip() and len(rows) == 1) else numbers
