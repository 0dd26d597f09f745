#!/usr/bin/env python3
"""Run a job's command unless it ended well before, on the same inputs.

    once.py <last-output> <job> <job-input> [--leaves <file>] … <command> [<argument> …]

The steps put this before the commands that they queue, so that after an interruption only the
jobs that are missing are done. A job counts as missing, too, when a file that it leaves is gone
or another one. `begin_step` in outputs.sh made what is read here.
"""

import hashlib
import shlex
import sys
from pathlib import Path

from unspeech.cli.errors import run_program
from unspeech.cli.processes import die_with_parent, run_child
from unspeech.files.atomic import atomic_write


def main() -> None:
    die_with_parent()
    output, job, job_input, *command = sys.argv[1:]
    state = Path(output).with_name(f".{Path(output).name}")
    leaves = []
    while command[0] == "--leaves":
        leaves.append(Path(command[1]))
        command = command[2:]
    digest = hashlib.md5(Path(job_input).read_bytes(), usedforsecurity=False)
    for line in Path(f"{state}.making_from").read_bytes().splitlines():
        if not line.startswith((b"output:", b"before:")):
            digest.update(line)
    key = digest.hexdigest()
    stamp = Path(f"{state}.done") / job
    if stamp.exists() and stamp.read_text() == key + seen(leaves):
        print(f"Done before: {shlex.join(command)}")
        return
    stamp.unlink(missing_ok=True)
    status = run_child(command)
    if status:
        sys.exit(status)
    with atomic_write(stamp) as file:
        file.write(key + seen(leaves))


def seen(files: list[Path]) -> str:
    """Size and time of each file; another word for one that is not there."""
    words = ""
    for file in files:
        try:
            status = file.stat()
            words += f" {status.st_size} {status.st_mtime_ns}"
        except OSError:
            words += " gone"
    return words


if __name__ == "__main__":
    run_program(main)
