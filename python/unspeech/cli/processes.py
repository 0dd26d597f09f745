"""Children that end with their parents: a step that is killed leaves nothing running."""

import ctypes
import os
import signal
import subprocess
import time

GRACE = 10.0  # seconds: a runner of jobs cancels them before it ends
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


def run_group(command: list[str]) -> int:
    """Run a command in a process group of its own, which ends with this process or the command.

    The kernel can tell a process of its parent's end, but not the parent's grandchildren. So a
    guard waits beside for the end of a pipe that this process alone holds open, and ends the group:
    by SIGTERM, and by SIGKILL what is there `GRACE` seconds later.

    Returns: as of `run_child`.
    """
    held, holding = os.pipe()  # closed in programs that are started, as all of Python's pipes
    child = subprocess.Popen(command, preexec_fn=_lead_group, close_fds=False)
    guard = os.fork()
    if not guard:
        try:
            os.setsid()  # not to get the signals of our own group
            os.close(holding)
            os.read(held, 1)
            os.killpg(child.pid, signal.SIGTERM)
            end = time.monotonic() + GRACE
            while time.monotonic() < end:
                os.killpg(child.pid, 0)  # raises when there is no such group any more
                time.sleep(0.05)
            os.killpg(child.pid, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # its number stays its own until wait()
    os.kill(guard, signal.SIGKILL)
    os.waitpid(guard, 0)
    os.killpg(child.pid, signal.SIGKILL)  # what it may have left running
    status = child.wait()
    return status if status >= 0 else 128 - status


def _lead_group() -> None:
    os.setpgid(0, 0)
    die_with_parent(signal.SIGTERM)


# Of a pipeline, bash tells the last program's status alone, and what follows one that has failed
# takes half of its output for all. 141: it was still writing when the next one had read enough.
_FIRST_FAILURE = """for status in "${PIPESTATUS[@]}"; do
  [ "$status" -eq 0 ] || [ "$status" -eq 141 ] || exit "$status"
done"""


def pipe_output(entry: str) -> bytes:
    """What the command of an scp entry, `<command> |`, writes on stdout.

    Raises:
        ValueError: when it ends with another status than 0, with the last line of its stderr.
    """
    command = entry.rstrip("| ")
    done = subprocess.run(
        ["bash", "-c", f"{command}\n{_FIRST_FAILURE}"],
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
