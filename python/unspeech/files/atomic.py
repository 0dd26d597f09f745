"""Files that appear under their names when they are complete, and directories for them."""

import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from unspeech.cli.errors import UnspeechError
from unspeech.files.text import LONGEST_NAME

_PREFIX = 40  # characters of a file's name that an unfinished one has, too


@contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a file for writing that appears under its name only when it is complete.

    The file is written beside `path` and renamed when the block ends without an exception;
    otherwise it is removed and an older file of that name stays as it was.
    Raises:
        UnspeechError: when there cannot be such a file.
    """
    path = Path(path)
    handle, part = _open_part(path)
    try:
        os.fchmod(handle, 0o666 & ~_umask())
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def parts_of(path: Path) -> list[Path]:
    """What killed writers of a file have left beside it, but for those of names as long."""
    if len(path.name) > _PREFIX:  # others may begin alike
        return []
    random = "?" * 8  # of `tempfile`
    return sorted(path.parent.glob(f".{glob.escape(path.name)}.{random}.part"))


def _open_part(path: Path) -> tuple[int, str]:
    """Make the file that is renamed to `path` later."""
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise UnspeechError(
            f"{path!s:.300}: a file's name has at most {LONGEST_NAME} bytes; give a shorter one"
        )
    if path.is_dir():
        raise UnspeechError(f"{path}: a directory; give another name for this file")
    make_directory(path.parent)
    try:
        prefix = f".{path.name[:_PREFIX]}."
        return tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=".part")
    except PermissionError:
        raise UnspeechError(
            f"{path}: no permission to write there: choose another output directory"
        ) from None


def make_directory(directory: Path) -> None:
    """Make a directory, and those that it lies in, unless it is there.

    Raises:
        UnspeechError: when there cannot be such a directory.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise UnspeechError(
            f"{error.filename}: no permission to write: choose another output directory"
        ) from None
    except (FileExistsError, NotADirectoryError) as error:
        raise UnspeechError(
            f"{error.filename}: there is a file of this name, or above it: choose another output "
            "directory"
        ) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
