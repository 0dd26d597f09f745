"""What the tables of faults share: a program that must refuse what it is given."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

from helpers.programs import call, call_fails

SECONDS = 60  # after which a program counts as waiting for ever


@contextmanager
def no_waiting(seconds: int = SECONDS):
    """Fail when the block does not end, as a program does not that waits for a pipe."""

    def stop(number, frame):
        raise AssertionError(f"still waiting after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused(program: str, *options, says: tuple | list | str, out: Path | None = None) -> str:
    """Run a program that must refuse its input.

    It ends with status 1 and one line `ERROR: …`; any other exception fails the test, as it would
    be a traceback.

    Args:
        says: what stands in that line, such as the file and the utterance.
        out: directory of the output, in which no file may be afterwards, nor a part of one.
    Returns: the line.
    """
    with no_waiting():
        message = call_fails(program, *options)
    assert message.startswith("ERROR: ")
    assert "\n" not in message
    assert "Traceback" not in message
    for words in says if isinstance(says, tuple | list) else [says]:
        assert str(words) in message, message
    if out is not None and out.is_dir():
        assert not [path for path in out.rglob("*") if not path.is_dir()]
    return message


def accepted(program: str, *options) -> None:
    """Run a program that must take its input; it raises SystemExit with a message if not."""
    with no_waiting():
        call(program, *options)


def make_special(path: Path, kind: str) -> Path:
    """Make something at `path` that is no regular file: a fifo, a device, a directory, nothing."""
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "directory":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind != "missing":
        raise ValueError(kind)
    return path


SPECIAL = {  # what a message says of each
    "fifo": "a pipe or device",
    "device": "a pipe or device",
    "directory": "a directory",
    "missing": "no such file",
    "loop": "cannot be opened",
}
