#!/usr/bin/env python3
"""Run one command of run.sh; say how long it took and how much memory, and keep that in a log.

    run_stage.py <stages.jsonl> <stage> <name> <last-output> <command> [<argument> …]

`peak_mb` is the resident memory of the command's largest process. A command that finds its
output complete leaves the log as it is, with the figures of the run that made it.
"""

import json
import resource
import shlex
import sys
import time
from pathlib import Path

from unspeech.cli.processes import die_with_parent, run_child
from unspeech.files.atomic import atomic_write


def main() -> None:
    die_with_parent()
    log, stage, name, output, *command = sys.argv[1:]
    made_from = Path(output).with_name(f".{Path(output).name}.made_from")
    before = _stamp(made_from)
    started = time.monotonic()
    status = run_child(command)
    if status:
        sys.exit(status)
    record = {
        "stage": int(stage),
        "name": name,
        "seconds": round(time.monotonic() - started, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        "command": shlex.join(command),
    }
    if before is not None and _stamp(made_from) == before:
        return
    print(f"Stage {stage} {name}: {record['seconds']} s, peak {record['peak_mb']} MB", flush=True)
    path = Path(log)
    lines = path.read_text().splitlines() if path.exists() else []
    records = [r for r in map(json.loads, lines) if (r["stage"], r["name"]) != (int(stage), name)]
    with atomic_write(path) as file:
        for each in sorted([*records, record], key=lambda r: r["stage"]):
            file.write(json.dumps(each) + "\n")


def _stamp(path: Path) -> tuple[int, int] | None:
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None


if __name__ == "__main__":
    main()
