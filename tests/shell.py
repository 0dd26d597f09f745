"""What the tests of shell scripts share."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STEPS = ROOT / "steps_unspeech"


def run(*command, cwd=None, **environment) -> subprocess.CompletedProcess:
    """Run a command of ours; `environment` is added to the test's."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def run_bash(script: str, cwd=None, **environment) -> subprocess.CompletedProcess:
    """Run lines of bash as a step would: with path.sh sourced, ending on the first error."""
    head = f'set -euo pipefail\n. "{ROOT}/path.sh"\n'
    return run("bash", "-c", head + script, cwd=cwd, **environment)


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
