"""Children that end with their parents: a step that is killed leaves nothing running."""

import ctypes
import signal
import subprocess

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, even by SIGKILL (Linux only)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run_child(command: list[str]) -> int:
    """Run a command that ends with this process.

    Returns: its exit status; 128 and the signal's number when a signal ended it.
    """
    child = subprocess.Popen(command, preexec_fn=die_with_parent)
    try:
        status = child.wait()
    except KeyboardInterrupt:  # it has had the terminal's signal, too
        child.wait()
        return 128 + signal.SIGINT
    return status if status >= 0 else 128 - status
