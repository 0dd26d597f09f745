"""Our runner of jobs: the calling form of Kaldi's run.pl, logs, and an end with its caller."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from helpers.shell import ROOT, STEPS, run, wait_until, write_script

RUN_LOCAL = STEPS / "lib/run_local.py"


def run_local(*words, cwd):
    return run(RUN_LOCAL, *words, cwd=cwd, PYTHONPATH=str(ROOT / "python"))


def test_runner_writes_a_log_a_job(tmp_path):
    result = run_local(
        *["--mem", "4G", "JOB=1:3", "--gpu", "1", "log/x.JOB.log", "echo", "job JOB", "out.JOB"],
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    for job in (1, 2, 3):
        lines = (tmp_path / f"log/x.{job}.log").read_text().splitlines()
        assert lines[0] == f'# echo "job {job}" out.{job}'
        assert lines[1].startswith("# Started at ")
        assert lines[3] == f"job {job} out.{job}"
        assert lines[-2].startswith("# Accounting: time=")
        assert lines[-1].startswith("# Ended (code 0) at ")
        assert lines[-1].endswith(" seconds")


@pytest.mark.parametrize(
    "words",
    [
        ["x.log", "echo", "a b", "c"],
        ["x.log", "echo", 'say "a b"', "--opt=x"],
        ["x.log", "echo", "a b", "|", "sed", "s/a b/piped/"],
        ["x.log", "printf", "%s,", "", "two words", "end"],
        ["x.log", "echo", "$HOME", "and $HOME", "$[1+1]"],
        ["x.log", "echo", "out", ";", "echo", "error", ">&2"],
        ["JOB=2", "x.JOB.log", "echo", "JOB"],
        ["x.log", "false"],
    ],
)
def test_runner_means_what_run_pl_means(tmp_path, kaldi, words):
    printed = []
    for name, program in (("ours", RUN_LOCAL), ("theirs", kaldi / "egs/wsj/s5/utils/run.pl")):
        (tmp_path / name).mkdir()
        result = run(program, *words, cwd=tmp_path / name, PYTHONPATH=str(ROOT / "python"))
        (log,) = (tmp_path / name).iterdir()
        lines = [line for line in log.read_text().splitlines() if not line.startswith("# ")]
        printed.append((result.returncode, log.name, lines))
    assert printed[0] == printed[1]


def test_runner_names_the_failing_log(tmp_path):
    script = "[ JOB != 2 ] || { seq 100 115; echo reason >&2; exit 7; }"
    write_script(tmp_path / "job.sh", f"#!/bin/bash\n{script.replace('JOB', '$1')}\n")
    result = run_local(
        "--max-jobs-run", "1", "JOB=1:4", "log/x.JOB.log", "./job.sh", "JOB", cwd=tmp_path
    )
    assert result.returncode == 1
    assert "log: log/x.2.log" in result.stderr
    assert result.stderr.splitlines()[-1] == "reason"
    assert "107" in result.stderr
    assert "106" not in result.stderr
    assert "# Ended (code 7)" in (tmp_path / "log/x.2.log").read_text()
    assert not (tmp_path / "log/x.3.log").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["JOB=1:4", "x.log", "true"], "put JOB in it"),
        (["JOB=3:1", "x.JOB.log", "true"], "invalid job range JOB=3:1"),
        (["--max-jobs-run", "0", "x.log", "true"], "--max-jobs-run takes a positive integer"),
        (["x.log"], "usage"),
        (["/proc/none/x.log", "true"], "/proc/none"),
    ],
)
def test_runner_called_wrongly(tmp_path, words, message):
    result = run_local(*words, cwd=tmp_path)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_runner_bounds_parallel_jobs(tmp_path):
    write_script(
        tmp_path / "job.sh",
        "#!/bin/sh\nmkdir one || exit 1\nsleep 0.1\nrmdir one\n",
    )
    result = run_local(
        "--max-jobs-run", "1", "JOB=1:3", "x.JOB.log", "./job.sh", "JOB", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    "started_by", ["run_local.py out/log/x.log once.py out/x 1 in.scp", "tied"]
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_a_killed_step(tmp_path, number, started_by):
    """run_stage.py → step → run_local.py → once.py → job: killing the first ends them all."""
    (tmp_path / "in.scp").write_text("a 1\n")
    write_script(
        tmp_path / "step.sh",
        f"""#!/usr/bin/env bash
set -euo pipefail
. "{ROOT}/path.sh"
begin_step out/x -- in.scp
{started_by} ./job.sh
finish_step out/x
""",
    )
    write_script(
        tmp_path / "job.sh", "#!/bin/sh\necho $$ > pid.part\nmv pid.part pid\nexec sleep 60\n"
    )
    process = subprocess.Popen(
        [STEPS / "lib/run_stage.py", "stages.jsonl", "0", "x", "out/x", "./step.sh"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
        start_new_session=True,
        # Tests that run in the background would hand it down as ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert wait_until((tmp_path / "pid").exists)
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    if number == signal.SIGINT:  # a terminal sends it to the whole group
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    process.wait(timeout=60)
    assert wait_until(lambda: not alive(pid))
    assert not (tmp_path / "out/x").exists()
    assert not (tmp_path / "stages.jsonl").exists()
