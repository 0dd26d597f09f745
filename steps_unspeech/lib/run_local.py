#!/usr/bin/env python3
"""Run a step's jobs on this machine; called as Kaldi's `run.pl` is, and needs no Kaldi.

    run_local.py [options] [JOB=1:4] exp/log/x.JOB.log program argument JOB …

JOB (or another name) is replaced by the job's number in the log's name and the command. Options
for queues (`--mem 4G`, `--gpu 1`) are accepted. The command's words are put together for bash as
`run.pl` does it, so `\\|` makes a pipe and an argument with spaces stays one.
Source: Kaldi's `utils/parallel/run.pl`, for the calling form.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from jobs import Call, exit_on_signals, positive, run_as_program

from unspeech.cli.processes import die_with_parent


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
    log, command = Path(call.numbered(call.log, number)), call.numbered(call.command, number)
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
    threads = positive("--num-threads", call.options.get("num_threads", "1"))
    at_once = call.max_jobs_run or max(1, len(os.sched_getaffinity(0)) // threads)
    waiting, running, failed = list(call.jobs), {}, []
    try:
        while running or (waiting and not failed):
            if waiting and not failed and len(running) < at_once:
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


def main() -> None:
    die_with_parent()
    exit_on_signals(signal.SIGTERM, signal.SIGHUP)
    run_as_program(run_here)


if __name__ == "__main__":
    main()
