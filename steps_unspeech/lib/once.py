#!/usr/bin/env python3
"""Run a job's command unless it ended well before, on the same inputs.

    once.py <last-output> <job> <job-input> <command> [<argument> …]

The steps put this before the commands that they queue, so that after an interruption only the
jobs that are missing are done. `begin_step` in functions.sh made what is read here.
"""

import hashlib
import shlex
import sys
from pathlib import Path

from unspeech.processes import die_with_parent, run_child
from unspeech.tables import atomic_write


def main() -> None:
    die_with_parent()
    output, job, job_input, *command = sys.argv[1:]
    state = Path(output).with_name(f".{Path(output).name}")
    inputs = Path(f"{state}.making_from").read_bytes() + Path(job_input).read_bytes()
    key = hashlib.md5(inputs, usedforsecurity=False).hexdigest()
    stamp = Path(f"{state}.done") / job
    if stamp.exists() and stamp.read_text() == key:
        print(f"Done before: {shlex.join(command)}")
        return
    stamp.unlink(missing_ok=True)
    status = run_child(command)
    if status:
        sys.exit(status)
    with atomic_write(stamp) as file:
        file.write(key)


if __name__ == "__main__":
    main()
