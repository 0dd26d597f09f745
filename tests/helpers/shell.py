"""What the tests of shell scripts share."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

ROOT = Path(__file__).resolve().parents[2]
STEPS = ROOT / "steps_unspeech"


def run(*command, cwd=None, **environment) -> subprocess.CompletedProcess:
    """Run a command of ours; `environment` is added to the test's."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=1800,  # for what hangs: a busy machine is slow
    )


def run_bash(script: str, cwd=None, **environment) -> subprocess.CompletedProcess:
    """Run lines of bash as a step would: with path.sh sourced, ending on the first error."""
    head = f'set -euo pipefail\n. "{ROOT}/path.sh"\n'
    return run("bash", "-c", head + script, cwd=cwd, **environment)


@contextmanager
def paused(command: list, at: str, flag: Path, number: int = 1, **options) -> Iterator[Popen]:
    """Start a command of ours, to kill it while one of its Python programs stands still.

    Args:
        at: pattern of a path. The program stops just before it opens a file like it for writing
            or gives a file that name, the time of that number.
        flag: a file that is there while the program waits; remove it to let the program go on.
        options: of `Popen`.
    Yields:
        the process, once it waits. It is killed at the end.
    """
    environment = options.pop("env", os.environ)
    path = f"{ROOT / 'tests/helpers/pause'}:{environment.get('PYTHONPATH', '')}".rstrip(":")
    settings = {"PAUSE_AT": str(at), "PAUSE_NUMBER": str(number), "PAUSED": str(flag)}
    flag.unlink(missing_ok=True)
    process = Popen(
        [str(word) for word in command],
        env={**environment, "PYTHONPATH": path, **settings},
        **options,
    )
    try:
        while not flag.exists():
            assert process.poll() is None, f"it ended before it wrote {at}"
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.wait()
        flag.unlink(missing_ok=True)


def write_script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def copy_checkout(to: Path) -> Path:
    """A checkout of its own whose .venv counts as set up: it calls the tests' own Python."""
    unwanted = shutil.ignore_patterns(".git", ".venv*", "exp", "data", "tests", ".*_cache")
    shutil.copytree(ROOT, to, ignore=unwanted)
    python = to / ".venv/bin/python3"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    files = sorted(to.glob("requirements*.txt"))
    key = hashlib.md5(b"".join(file.read_bytes() for file in files), usedforsecurity=False)
    (to / ".venv/installed").write_text(f"{to} requirements-cpu.txt {key.hexdigest()}\n")
    return to


def times_of_files(directory: Path) -> dict[Path, int]:
    files = (path for path in directory.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path: path.stat().st_mtime_ns for path in files if path.name != ".lock"}


def wait_until(condition: Callable[[], object], seconds: float = 120) -> bool:
    """Wait for what happens soon, on a busy machine too; returns whether it has."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())
