#!/usr/bin/env python3
"""Run a step's jobs on this machine; called as Kaldi's `run.pl` is, and needs no Kaldi.

    run_local.py [options] [JOB=1:4] exp/log/x.JOB.log program argument JOB …

JOB (or another name) is replaced by the job's number in the log's name and the command. Options
for queues (`--mem 4G`, `--gpu 1`) are accepted. The command's words are put together for bash as
`run.pl` does it, so `\\|` makes a pipe and an argument with spaces stays one.
Source: Kaldi's `utils/parallel/run.pl`, for the calling form.
"""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from unspeech.processes import die_with_parent

LINES_SHOWN = 10


@dataclass(frozen=True)
class Call:
    """What the command line asks for."""

    name: str | None  # what stands for the job's number
    jobs: range
    log: str
    command: str
    max_jobs_run: int


def parse(arguments: list[str]) -> Call:
    """Read the command line in `run.pl`'s form.

    Raises:
        ValueError: saying what is wrong with it.
    """
    rest = list(arguments)
    name, jobs = None, range(1, 2)
    limit, threads = None, 1
    while len(rest) > 1:
        match = re.fullmatch(r"([A-Za-z_]\w*)=(\d+)(?::(\d+))?", rest[0])
        if match and name is None:
            name, first, last = match[1], int(match[2]), int(match[3] or match[2])
            if not 1 <= first <= last:
                raise ValueError(f"invalid job range {rest[0]}")
            jobs = range(first, last + 1)
            del rest[0]
        elif rest[0] == "-V":
            del rest[0]
        elif rest[0].startswith("-"):
            option, value = rest[:2]
            del rest[: 3 if option == "-pe" else 2]
            if option in ("--max-jobs-run", "-tc"):
                limit = min(_positive(option, value), limit or sys.maxsize)
            elif option == "--num-threads":
                threads = _positive(option, value)
        else:
            break
    if len(rest) < 2:
        raise ValueError("usage: run_local.py [options] [JOB=1:n] <log file> <command> …")
    log = rest[0]
    if name and len(jobs) > 1 and name not in log:
        raise ValueError(f"{len(jobs)} jobs cannot share one log file, {log}: put {name} in it")
    command = " ".join(_quoted(word) for word in rest[1:])
    cores = len(os.sched_getaffinity(0))
    return Call(name, jobs, log, command, limit or max(1, cores // threads))


def _positive(option: str, value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise ValueError(f"{option} takes a positive integer, not '{value}'")
    return int(value)


def _quoted(word: str) -> str:
    """Quote as `run.pl` does, so that a step means the same with either."""
    if re.fullmatch(r"\S+", word):
        return word
    return f"'{word}'" if '"' in word else f'"{word}"'


def _start_of_job() -> None:
    os.setpgid(0, 0)  # its pipes and children can be killed together
    die_with_parent()


@dataclass
class Job:
    """A job that has been started."""

    log: Path
    process: subprocess.Popen
    started: float

    def close(self, status: int) -> bool:
        """Write the end of the log; returns whether the job ended well."""
        code = os.waitstatus_to_exitcode(status)
        how = f"code {code}" if code >= 0 else f"code 0; signal {-code}"
        seconds = round(time.time() - self.started)
        with self.log.open("a") as file:
            file.write(f"# Accounting: time={seconds} threads=1\n")
            file.write(f"# Ended ({how}) at {time.ctime()}, elapsed time {seconds} seconds\n")
        return code == 0


def start(call: Call, number: int) -> Job:
    """Start one job, its output going to its log."""

    def numbered(text: str) -> str:
        return text.replace(call.name, str(number)) if call.name else text

    log, command = Path(numbered(call.log)), numbered(call.command)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        file.write(f"# {command}\n# Started at {time.ctime()}\n#\n")
        file.flush()
        process = subprocess.Popen(
            ["bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=_start_of_job,
            close_fds=False,  # a lock that the script holds is kept as long as jobs work
        )
    return Job(log, process, time.time())


def run_here(call: Call) -> list[Path]:
    """Run all jobs on this machine; after a failure no more are started.

    Returns: logs of the jobs that failed.
    """
    waiting, running, failed = list(call.jobs), {}, []
    try:
        while running or (waiting and not failed):
            if waiting and not failed and len(running) < call.max_jobs_run:
                job = start(call, waiting.pop(0))
                running[job.process.pid] = job
                continue
            pid, status = os.wait()
            if pid in running:
                job = running.pop(pid)
                if not job.close(status):
                    failed.append(job.log)
    finally:
        for pid in running:  # only after an exception or a signal
            os.killpg(pid, signal.SIGKILL)
    return failed


def last_lines(log: Path) -> str:
    """The end of what a job printed."""
    lines = log.read_text(errors="replace").splitlines()
    printed = [line for line in lines if not line.startswith(("# Accounting:", "# Ended ("))]
    return "\n".join(printed[-LINES_SHOWN:])


def main() -> None:
    die_with_parent()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    signal.signal(signal.SIGHUP, lambda number, frame: sys.exit(128 + number))
    try:
        call = parse(sys.argv[1:])
        failed = run_here(call)
    except (ValueError, OSError) as error:
        sys.exit(f"run_local.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    if failed:
        first = min(failed)
        print(f"run_local.py: {len(failed)} of {len(call.jobs)} jobs failed", file=sys.stderr)
        print(*(f"  log: {log}" for log in failed), sep="\n", file=sys.stderr)
        print(f"Last lines of {first}:\n{last_lines(first)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
