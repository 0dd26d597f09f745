"""What a file holds and points to, in one digest: whether an output is still that of its inputs.

An scp file can stay the same while the archives or the audio that it names are replaced, so sizes
and times of those are part of its digest.
"""

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path

from unspeech.cli.errors import UnspeechError

ARCHIVES = (".ark", ".ark.gz")  # too large to be read for a digest: their size and time stand in
_WORDS = re.compile(rb"'([^']*)'|\"([^\"]*)\"|([^\s'\"|;&<>()]+)")  # of a command
_RANGE = re.compile(rb"\[[^\]]*\]$")
_OFFSET = re.compile(rb"^(.+):(\d+)$")


def files_behind(table: Path) -> dict[bytes, int]:
    """Find the files that an scp names, each once.

    Args:
        table: `wav.scp`, `feats.scp` and so on.
    Returns:
        {file: the last offset in it that an entry names}, in the table's order. What may be a
        file's name in a command, such as `sox a.flac -t wav - |`, counts if there is such a file.
    """
    files: dict[bytes, int] = {}
    maybe: dict[bytes, None] = {}
    for line in _contents(table).split(b"\n"):
        key_and_entry = line.split(None, 1)
        if len(key_and_entry) < 2:
            continue
        entry = key_and_entry[1].rstrip()
        if entry.endswith(b"|"):
            for word in _WORDS.findall(entry):
                name = word[0] or word[1] or word[2]
                if b"." in name or b"/" in name:
                    maybe[name] = None
            continue
        offset = 0
        if entry.endswith(b"]"):
            entry = _RANGE.sub(b"", entry)
        if b":" in entry and (match := _OFFSET.match(entry)):
            entry, offset = match[1], int(match[2])
        files[entry] = max(offset, files.get(entry, 0))
    return files | {name: 0 for name in maybe if name not in files and os.path.isfile(name)}


def file_key(path: str | Path) -> str:
    """Digest of a file and of what it points to: sizes and times of the files that an scp names.

    `segments` points to the `wav.scp` beside it. Of an archive, size and time are all that counts.
    Raises:
        UnspeechError: when the file cannot be read.
    """
    path = Path(path)
    digest = hashlib.md5(usedforsecurity=False)
    if path.name.endswith(ARCHIVES):
        digest.update(_sizes_and_times([os.fsencode(path)], path.parent))
        return digest.hexdigest()
    digest.update(_contents(path))
    if path.suffix == ".scp":
        digest.update(_sizes_and_times(files_behind(path), path.parent))
    elif path.name == "segments" and (path.parent / "wav.scp").exists():
        digest.update(file_key(path.parent / "wav.scp").encode())
    return digest.hexdigest()


def what_is_missing(scp: Path) -> str | None:
    """Say in words which file an scp names in vain: it is gone, or ends before the last entry."""
    files = files_behind(scp)
    for (file, offset), status in zip(files.items(), _status(files, scp.parent), strict=True):
        if status is None:
            return f"{os.fsdecode(file)}, which {scp} names, is gone"
        if status.st_size <= offset:
            return f"{os.fsdecode(file)}, which {scp} names, is cut short"
    return None


def _contents(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise UnspeechError(f"{path}: is no regular file; give one")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnspeechError(f"{path}: cannot be read: {error.strerror}; correct that") from None


def _status(files: Iterable[bytes], folder: Path) -> Iterator[os.stat_result | None]:
    """Of files whose names are relative to where we are or, as in a data directory, to a folder.

    There may be millions of them: this is where the time goes.
    """
    beside = os.fsencode(folder)
    for file in files:
        try:
            yield os.stat(file)
        except OSError:
            try:
                yield os.stat(os.path.join(beside, file))
            except OSError:
                yield None


def _sizes_and_times(files: Collection[bytes], folder: Path) -> bytes:
    seen = (
        f" {status.st_size} {status.st_mtime_ns}\n".encode() if status else b" gone\n"
        for status in _status(files, folder)
    )
    return b"".join(chain.from_iterable(zip(files, seen, strict=True)))
