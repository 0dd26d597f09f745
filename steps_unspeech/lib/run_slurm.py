#!/usr/bin/env python3
"""Run a step's jobs by Slurm's sbatch; called as Kaldi's `slurm.pl` is, and needs no Kaldi.

    run_slurm.py [options] [JOB=1:4] exp/log/x.JOB.log program argument JOB …

The jobs are one job array; it ends when all of them have ended. Options (`--mem 4G`, `--gpu 1`)
become sbatch's as conf/slurm.conf says, or another file in the form of Kaldi's given by `--config`;
those with one dash (`-p long`) are sbatch's own. When it is interrupted or killed, so are its jobs;
any that were left over from an earlier call with the same log are cancelled first.
Source: Kaldi's `utils/parallel/slurm.pl`, for the calling form and the form of the file.
"""

import getpass
import hashlib
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

from jobs import Call, exit_on_signals, run_as_program

from unspeech.cli.processes import die_with_parent

CONFIG = Path(__file__).resolve().parents[2] / "conf/slurm.conf"
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 3.0  # seconds between looks at the logs
FIRST_QUERY, LONGEST_QUERY = 2.0, 30.0  # seconds between questions to Slurm, which are dear
LATE = 20.0  # seconds that the end of a log may come later than the job's, on a shared disk
STUCK = 600.0  # seconds that a job takes to be cleared away at most, or its host is in trouble
# Seconds until the log of a job in this state must say how the job ended; of others at once.
PATIENCE = {"COMPLETED": LATE, "FAILED": LATE, "gone": LATE, "COMPLETING": STUCK}
AT_WORK = {
    *("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "STOPPED", "RESIZING"),
    *("REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SIGNALING", "STAGE_OUT", "SPECIAL_EXIT"),
    *("RESV_DEL_HOLD", "REVOKED"),
}
SCRIPT = """#!/bin/bash
command={command}
name={name}
[ -z "$name" ] || command=${{command//$name/$SLURM_ARRAY_TASK_ID}}
started=$(date +%s)
echo "# Started at $(date) on $(hostname), Slurm job $SLURM_JOB_ID"
echo "#"
bash -c "$command" < /dev/null
code=$?
seconds=$(($(date +%s) - started))
echo "# Accounting: time=$seconds threads=${{SLURM_CPUS_PER_TASK:-1}}"
echo "# Ended (code $code) at $(date), elapsed time $seconds seconds"
exit $code
"""


def sbatch_words(path: Path, given: dict[str, str]) -> list[str]:
    """The command that submits, from a file of `command`, `option` and `default` lines.

    Args:
        path: the file, in the form of Kaldi's `conf/slurm.conf`.
        given: options of the call.
    Raises:
        ValueError: naming the file, when a line or an option is unknown.
    """
    command, chosen, templates = None, dict(given), {}
    for line in path.read_text().splitlines():
        text = re.sub(r"\s*#.*", "", line)
        if match := re.fullmatch(r"command (.+)", text):
            command = shlex.split(match[1])
        elif match := re.fullmatch(r"option ([^=\s]+)=(\S+)\s*(.*)", text):
            templates[match[1], match[2]] = match[3]
        elif match := re.fullmatch(r"default ([^=\s]+)=(\S+)\s*", text):
            chosen.setdefault(match[1], match[2])
        elif text:
            raise ValueError(f"{path}: cannot read line '{line}'")
    if command is None:
        raise ValueError(f"{path}: there is no line 'command sbatch …'")
    for name, value in chosen.items():
        template = templates.get((name, value), templates.get((name, "*")))
        if template is None:
            option = name.replace("_", "-")
            raise ValueError(f"{path}: says nothing of --{option} {value}; add 'option {name}=* …'")
        command += shlex.split(template.replace("$0", value))
    return command


def submit(call: Call, name: str) -> str:
    """Submit all jobs as one array; returns its id."""
    options = dict(call.options)
    words = sbatch_words(Path(options.pop("config", CONFIG)), options)
    array = f"{call.jobs[0]}-{call.jobs[-1]}"
    if call.max_jobs_run:
        array += f"%{call.max_jobs_run}"
    log = call.log.replace("%", "%%")
    words += [
        *call.own_options,
        *("--parsable", f"--job-name={name}", f"--array={array}", "--open-mode=append"),
        f"--output={log.replace(call.name, '%a') if call.name else log}",
    ]
    for number in call.jobs:
        path = Path(call.numbered(call.log, number))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {call.numbered(call.command, number)}\n")
    script = SCRIPT.format(command=shlex.quote(call.command), name=shlex.quote(call.name or ""))
    done = subprocess.run(words, input=script, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{shlex.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip().split(";")[0]


def states(job: str) -> dict[str, str] | None:
    """The state of each task of an array; {} when Slurm has forgotten it, None if it is silent."""
    done = subprocess.run(
        ["squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%K %T"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {} if "Invalid job id" in done.stderr else None
    return dict(line.split() for line in done.stdout.splitlines())


def exit_code(log: Path) -> int | None:
    """How a job ended, by the end of its log, where Slurm may have added a line."""
    try:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    except FileNotFoundError:
        return None
    match = re.search(r"^# Ended \(code (\d+)\)", end, re.MULTILINE)
    return int(match[1]) if match else None


def wait(call: Call, job: str) -> list[Path]:
    """Wait for all tasks of an array; returns the logs of those that failed."""
    waiting = {str(n): Path(call.numbered(call.log, n)) for n in call.jobs}
    failed, seen_at = [], {}
    pause, query, asked = FIRST_PAUSE, FIRST_QUERY, time.monotonic()
    while waiting:
        time.sleep(pause)
        pause = min(1.2 * pause, LONGEST_PAUSE)
        known = None
        if time.monotonic() - asked > query:
            known, asked, query = states(job), time.monotonic(), min(1.5 * query, LONGEST_QUERY)
        for task, log in list(waiting.items()):
            code = exit_code(log)
            state = "" if known is None else known.get(task, "gone")
            if code is None and state and state not in AT_WORK:
                since = seen_at.setdefault((task, state), time.monotonic())
                if time.monotonic() - since > PATIENCE.get(state, -1):
                    with log.open("a") as file:
                        file.write(f"Slurm job {job}_{task} did not come to its end: {state}\n")
                    code = -1
            if code is not None:
                del waiting[task]
                failed += [log] * (code != 0)
    return failed


def run_by_slurm(call: Call) -> list[Path]:
    """Run all jobs by Slurm; returns the logs of those that failed."""
    place = hashlib.md5(str(Path(call.log).absolute()).encode(), usedforsecurity=False)
    name = f"{Path(call.log).name}-{place.hexdigest()[:8]}"
    own = [f"--name={name}", f"--user={getpass.getuser()}"]

    def left_over() -> bool:
        listed = subprocess.run(["squeue", "--noheader", *own], capture_output=True, check=True)
        return bool(listed.stdout.strip())

    started = time.monotonic()
    try:
        while left_over():
            subprocess.run(["scancel", *own], check=True)
            if time.monotonic() - started > STUCK:
                raise ValueError(
                    f"a job of an earlier call, {name}, cannot be cancelled: see squeue "
                    f"{shlex.join(own)}, and ask who looks after the cluster"
                )
            time.sleep(1)
        failed = wait(call, submit(call, name))
    except subprocess.CalledProcessError as error:
        raise ValueError(f"{shlex.join(error.cmd)}: {(error.stderr or b'').decode()}") from None
    except BaseException:
        subprocess.run(["scancel", *own], check=False)
        raise
    return failed


def main() -> None:
    exit_on_signals(signal.SIGTERM, signal.SIGHUP)
    die_with_parent(signal.SIGTERM)
    run_as_program(run_by_slurm)


if __name__ == "__main__":
    main()
