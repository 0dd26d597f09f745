"""What a file holds and points to, in one digest: whether an output is still that of its inputs.

    python3 -m unspeech.origins data/train/wav.scp

prints the digest. An scp file can stay the same while the archives or the audio that it names are
replaced, so sizes and times of those are part of its digest.
"""

import hashlib
import os
import re
import sys
from pathlib import Path

from unspeech.errors import UnspeechError, run_program

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
        digest.update(_size_and_time(os.fsencode(path), path.parent))
        return digest.hexdigest()
    digest.update(_contents(path))
    if path.suffix == ".scp":
        for file in sorted(files_behind(path)):
            digest.update(_size_and_time(file, path.parent))
    elif path.name == "segments" and (path.parent / "wav.scp").exists():
        digest.update(file_key(path.parent / "wav.scp").encode())
    return digest.hexdigest()


def what_is_missing(scp: Path) -> str | None:
    """Say in words which file an scp names in vain: it is gone, or ends before the last entry."""
    for file, offset in files_behind(scp).items():
        status = _status(file, scp.parent)
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


def _status(file: bytes, folder: Path) -> os.stat_result | None:
    """Of a file whose name is relative to where we are or, as in a data directory, to a folder."""
    for name in (file, os.path.join(os.fsencode(folder), file)):
        try:
            return os.stat(name)
        except OSError:
            continue
    return None


def _size_and_time(file: bytes, folder: Path) -> bytes:
    status = _status(file, folder)
    seen = f"{status.st_size} {status.st_mtime_ns}" if status else "gone"
    return file + f" {seen}\n".encode()


def main() -> None:
    print(file_key(sys.argv[1]))


if __name__ == "__main__":
    run_program(main)
