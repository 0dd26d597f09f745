"""The pages of an Ogg file, whose checksums its decoders do not report.

A decoder leaves out a damaged page and goes on, so that what follows comes too early.
Source: RFC 3533, section 6.
"""

import io
import struct
import zlib
from typing import BinaryIO

_HEADER = struct.Struct("<4sBBqIIIB")  # mark, version, flags, granule, stream, number, CRC, pieces
_LAST = 4  # flag of a stream's last page
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def damage(file: BinaryIO) -> str | None:
    """Say what is wrong with an Ogg file; None: all its pages are there and whole."""
    file.seek(0)
    pages: dict[int, int] = {}  # {stream: the number of its latest page}
    open_streams: set[int] = set()
    place = 0
    while head := file.read(_HEADER.size):
        if len(head) < _HEADER.size or head[:4] != b"OggS":
            return _cut_short_or_damaged(file, place, head)
        flags, stream, number, checksum, pieces = (_HEADER.unpack(head)[i] for i in (2, 4, 5, 6, 7))
        lengths = file.read(pieces)
        content = file.read(sum(lengths))
        if len(lengths) < pieces or len(content) < sum(lengths):
            return "cut short: it ends within a page"
        if _crc(head[:22] + b"\0\0\0\0" + head[26:] + lengths + content) != checksum:
            return f"damaged: the checksum of its page at byte {place} is another one"
        if pages and not open_streams:
            return "holds several recordings, one after the other; make each a file of its own"
        if stream in open_streams and number != pages[stream] + 1:
            return f"damaged: a page is missing at byte {place}"
        pages[stream] = number
        (open_streams.discard if flags & _LAST else open_streams.add)(stream)
        place = file.tell()
    return "cut short: it ends before the end of its stream" if open_streams else None


def _cut_short_or_damaged(file: BinaryIO, place: int, head: bytes) -> str:
    at_end = file.seek(0, io.SEEK_END) == place + len(head) and b"OggS".startswith(head[:4])
    return "cut short: it ends within a page" if at_end else f"damaged: no page at byte {place}"


def _crc(page: bytes) -> int:
    """The CRC of Ogg, which is that of zlib with the bits of bytes and result the other way."""
    found = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(found.to_bytes(4, "little").translate(_REVERSED), "big")
