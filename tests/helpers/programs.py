"""Programs of the library, called as users call them."""

import importlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from unspeech.cli.errors import run_program

ROOT = Path(__file__).resolve().parents[2]
STATISTICS_WINDOWS = 512  # from which a model's mean embedding is taken at the end of training


def call(program: str, *options, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run a program of the library in this process, as `python3 -m unspeech.<program>` would."""
    main = importlib.import_module(f"unspeech.{program}").main
    if program == "row_statistics" or (program == "train" and "Statistics" not in options):
        # They would take longer than training.
        importlib.import_module("unspeech.embedding.row_statistics").WINDOWS = STATISTICS_WINDOWS
    argv, sys.argv = sys.argv, [program, *map(str, options)]
    before = Path.cwd()
    try:
        os.chdir(cwd or before)
        run_program(main)
    finally:
        sys.argv = argv
        os.chdir(before)


def call_fails(program: str, *options) -> str:
    """Run a program that must end with exit status 1; returns its message."""
    with pytest.raises(SystemExit) as stop:
        call(program, *options)
    assert isinstance(stop.value.code, str), f"exit code {stop.value.code} without a message"
    return stop.value.code


def run_with_little_space(program: str, *options, limit: int) -> subprocess.CompletedProcess:
    """Run a program that may write no file of more than `limit` bytes."""
    return subprocess.run(
        [sys.executable, "-m", f"unspeech.{program}", *map(str, options)],
        env={  # without bytecode files, which would be cut off as well
            "PYTHONPATH": str(ROOT / "python"),
            "PATH": "/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
