#!/usr/bin/env python3
"""Run a job's command unless it ended well before, on the same inputs.

    once.py <last-output> <job> <job-input> [--leaves <file>] <command> [<argument> …]

The steps put this before the commands that they queue, so that after an interruption only the
jobs that are missing are done. A job whose file, the one that it leaves, is gone or another one
counts as missing. `begin_step` in outputs.sh made what is read here.
"""

import hashlib
import shlex
import sys
from pathlib import Path

from unspeech.cli.processes import die_with_parent, run_child
from unspeech.files.atomic import atomic_write


def main() -> None:
    die_with_parent()
    output, job, job_input, *command = sys.argv[1:]
    state = Path(output).with_name(f".{Path(output).name}")
    leaves = None
    if command[0] == "--leaves":
        leaves, command = Path(command[1]), command[2:]
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


def seen(file: Path | None) -> str:
    """Size and time of a file; another word when it is not there."""
    if file is None:
        return ""
    try:
        status = file.stat()
    except OSError:
        return " gone"
    return f" {status.st_size} {status.st_mtime_ns}"


if __name__ == "__main__":
    main()
