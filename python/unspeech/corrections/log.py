"""`corrections.jsonl`: what a listener has said about a clusters directory, an action a line.

A line is a JSON object: `revision`, the number of the line from 1, `time` in UTC, `action` and what
the action is about, in names of utterances, so that it holds for any clustering of them;
`unspeech.corrections.actions` has the actions. A line that the end of a program or of the power has
cut short was never acknowledged: it is left out, and removed by the next writer.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from unspeech.cli.errors import UnspeechError
from unspeech.files.text import open_file

NAME = "corrections.jsonl"


class OutdatedError(Exception):
    """Somebody else has corrected since: read what is new, and decide again."""


def read_log(directory: str | Path) -> tuple[list[dict], int]:
    """Read the corrections of a clusters directory.

    Returns: the actions, none if there is no such file; how many bytes at its end are a line that
        was cut short.
    Raises:
        UnspeechError: when a complete line is damaged or lines are missing.
    """
    path = Path(directory) / NAME
    if not os.path.lexists(path):
        return [], 0
    with open_file(path) as file:
        content = file.read()
    return _parse(content, path, 0)


def _parse(content: bytes, path: Path, before: int) -> tuple[list[dict], int]:
    """The actions in a log's complete lines, of which so many come before, and bytes of a rest."""
    whole, ended, rest = content.rpartition(b"\n")
    actions = []
    for number, line in enumerate(whole.split(b"\n") if ended else [], start=before + 1):
        try:
            action = json.loads(line)
            sound = isinstance(action, dict) and action.get("revision") == number
            sound = sound and isinstance(action.get("action"), str)
        except (ValueError, RecursionError):
            sound = False
        if not sound:
            raise UnspeechError(
                f"{path}:{number}: not correction number {number}; put back the file from a copy, "
                "or remove this line and all that follow"
            )
        actions.append(action)
    return actions, len(rest)


class Log:
    """A log that is open for reading and writing; others may have it open, too.

    Attributes:
        revision: how many actions have been read or written.
    Raises:
        UnspeechError: see `read_log`; when it cannot be written to.
    """

    def __init__(self, directory: str | Path) -> None:
        self.path = Path(directory) / NAME
        self.revision = 0
        self._size = 0  # bytes of the lines read or written
        self._file: BinaryIO | None = None  # made by the first action

    def _open(self, make: bool) -> bool:
        """Open the file, if it is there or to be made; says whether it is open."""
        there = os.path.lexists(self.path)
        if self._file is None and (there or make):
            if there:
                open_file(self.path).close()  # says what is wrong with it
            try:
                self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115
            except PermissionError:
                raise UnspeechError(
                    f"{self.path}: no permission to write it; change its permissions"
                ) from None
            if not there:
                directory = os.open(self.path.parent, os.O_RDONLY)
                os.fsync(directory)
                os.close(directory)
        return self._file is not None

    def read_new(self) -> list[dict]:
        """The actions that have been written since the last call, by anybody.

        Raises:
            UnspeechError: when the file is damaged, or shorter than it was.
        """
        if not self._open(make=False):
            return []
        with self._locked():
            return self._read_new()

    def _read_new(self) -> list[dict]:
        size = self._end()
        self._file.seek(self._size)
        content = b""
        while len(content) < size - self._size:  # a file without a buffer may give less
            content += self._file.read(size - self._size - len(content))
        actions, rest = _parse(content, self.path, self.revision)
        self._size += len(content) - rest
        self.revision += len(actions)
        return actions

    def append(self, action: dict, revision: int) -> dict:
        """Write an action; it is on the disk when this returns.

        Args:
            action: without `revision` and `time`.
            revision: of what the writer has seen.
        Returns: the line as an object.
        Raises:
            OutdatedError: when there are newer actions. Nothing is written.
            OSError: when the disk is full, say. Nothing stays written.
        """
        self._open(make=True)
        with self._locked():
            if self._end() > self._size and self._newer():
                raise OutdatedError
            if revision != self.revision:
                raise OutdatedError
            time = datetime.now(UTC).isoformat(timespec="seconds")
            line = {"revision": revision + 1, "time": time, **action}
            text = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            self._file.truncate(self._size)  # a line that was cut short
            try:
                written = 0
                while written < len(text):
                    written += self._file.write(text[written:])
                os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(self._size)
                raise
            self._size += len(text)
            self.revision += 1
            return line

    def _end(self) -> int:
        """How long the file is, which may not be less than what was read and written."""
        size = self._file.seek(0, os.SEEK_END)
        if size < self._size:
            raise UnspeechError(
                f"{self.path}: shorter than it was; end all programs that use it and start again"
            )
        return size

    def _newer(self) -> bool:
        self._file.seek(self._size)
        return b"\n" in self._file.read()

    def _check_file(self) -> None:
        """Refuse to go on with a file that nobody would find: what is written there is lost."""
        mine = os.fstat(self._file.fileno())
        try:
            there = os.path.samestat(os.stat(self.path), mine)
        except FileNotFoundError:
            there = False
        if not there:
            raise UnspeechError(
                f"{self.path}: was removed or replaced; end all programs that use it and start "
                "again"
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            self._check_file()
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
