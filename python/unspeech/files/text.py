"""Files that users and earlier runs left: opened and checked before anything is made of them."""

import json
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

from unspeech.cli.errors import UnspeechError

LONGEST_NAME = 255  # bytes of a file's name, on every file system of Linux


def is_there(path: str | Path) -> bool:
    """Whether there is a file, or a link: one to nothing has lost its file, as reading it says."""
    return os.path.lexists(path)


def open_file(path: str | Path) -> BinaryIO:
    """Open a regular file; a pipe or device could keep a program waiting for ever.

    Raises:
        UnspeechError: when it is missing, may not be read, or is not a regular file.
    """
    try:
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            raise UnspeechError(f"{path}: a directory; a file was expected")
        if not stat.S_ISREG(mode):
            raise UnspeechError(f"{path}: a pipe or device; copy its content to a file first")
        return open(path, "rb")
    except (FileNotFoundError, NotADirectoryError):
        what = "a link to nothing" if os.path.islink(path) else "no such file"
        raise UnspeechError(f"{path}: {what}") from None
    except PermissionError:
        raise UnspeechError(
            f"{path}: no permission to read it; change its permissions, or run as its owner"
        ) from None
    except (OSError, ValueError) as error:  # too long a name, a NUL in it, a loop of links
        what = error.strerror if isinstance(error, OSError) else error
        raise UnspeechError(f"{path!s:.300}: cannot be opened: {what}") from None


def read_text(path: str | Path) -> str:
    r"""Read a text file; its lines end with \n alone, as Kaldi's do.

    Raises:
        UnspeechError: see `open_file`; when it is not UTF-8, begins with a byte order mark, or
            holds NUL bytes or carriage returns, naming the line.
    """
    with open_file(path) as file:
        content = file.read()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnspeechError(
            f"{path}:{line}: not a text file in UTF-8; convert it, with iconv say"
        ) from None
    if text.startswith("\ufeff"):
        raise UnspeechError(f"{path}: begins with a byte order mark; save it as UTF-8 without one")
    for character, what in _REFUSED.items():
        place = text.find(character)
        if place >= 0:
            raise UnspeechError(f"{path}:{text.count(chr(10), 0, place) + 1}: holds {what}")
    return text


_REFUSED = {
    "\0": "a NUL byte: not a text file, or a damaged one; make it again",
    "\r": "a carriage return; remove them all: sed -i 's/\\r//' and the file's name",
}


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file, see `read_text`, without their ends."""
    lines = read_text(path).split("\n")
    return lines if lines[-1] else lines[:-1]


def read_json(path: str | Path) -> dict:
    """Read a JSON file that one of our programs wrote.

    Raises:
        UnspeechError: see `read_text`; when it is damaged.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UnspeechError(f"{path}: not valid JSON ({error}); make it again") from None
    if not isinstance(content, dict):
        raise UnspeechError(f"{path}: not a JSON object; make it again")
    return content


def utterance_file(directory: Path, utterance: str, suffix: str) -> Path:
    """The file of an utterance in a directory of one file an utterance.

    Raises:
        UnspeechError: when the utterance's name cannot be that of a file there.
    """
    name = f"{utterance}{suffix}"
    if re.search(r"[/\0]", name) or name.startswith("."):
        raise UnspeechError(
            f"{directory}: utterance '{utterance}': a file cannot have its name; rename it, "
            "without '/' and not beginning with '.'"
        )
    if len(name.encode()) > LONGEST_NAME:
        raise UnspeechError(
            f"{directory}: utterance '{utterance:.40}…': a file's name has at most {LONGEST_NAME} "
            f"bytes, '{suffix}' included; rename it"
        )
    return directory / name
