"""Children that end with their parents: a step that is killed leaves nothing running.

    python3 -m unspeech.processes <command> [<argument> …]

runs a command that ends with the script that started it; `tied` in functions.sh.
"""

import ctypes
import os
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when its parent ends, however (Linux only)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def run_child(command: list[str]) -> int:
    """Run a command that ends with this process.

    It inherits open files, so that a lock that a script holds is kept as long as it works.

    Returns: its exit status; 128 and the signal's number when a signal ended it.
    """
    child = subprocess.Popen(command, preexec_fn=die_with_parent, close_fds=False)
    try:
        status = child.wait()
    except KeyboardInterrupt:  # it has had the terminal's signal, too
        child.wait()
        return 128 + signal.SIGINT
    return status if status >= 0 else 128 - status


def pipe_output(entry: str) -> bytes:
    """What the command of an scp entry, `<command> |`, writes on stdout.

    Raises:
        ValueError: when it ends with another status than 0, with the last line of its stderr.
    """
    command = entry.rstrip("| ")
    done = subprocess.run(
        ["bash", "-c", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        preexec_fn=die_with_parent,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(
            f"'{command}' ended with status {done.returncode}{': ' + said[-1] if said else ''}"
        )
    return done.stdout


if __name__ == "__main__":
    die_with_parent()  # holds after exec, too
    os.execvp(sys.argv[1], sys.argv[1:])
