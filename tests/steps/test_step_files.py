"""What a step's output was made from: a second call does what is missing, and nothing else."""

import os
import stat
from pathlib import Path

import pytest
from helpers.shell import ROOT, run, write_script


@pytest.fixture
def step(tmp_path):
    """A step of two jobs, which count how often they run and can be made to fail."""
    write_script(
        tmp_path / "step.sh",
        f"""#!/usr/bin/env bash
set -euo pipefail
. "{ROOT}/path.sh"
cmd=run_local.py
period=10
overwrite=false
. parse_options.sh
begin_step out/sum period="$period" -- in.scp
nj=$(split_scp in.scp 2 out/split)
$cmd JOB=1:"$nj" out/log/x.JOB.log once.py out/sum JOB out/split/in.JOB.scp ./job.sh JOB
job_files out/JOB "$nj" | xargs cat > out/sum
finish_step out/sum
""",
    )
    write_script(
        tmp_path / "job.sh",
        "#!/bin/sh\n[ ! -e fail.$1 ] || exit 3\necho ran >> ran.$1\n"
        "cp out/split/in.$1.scp out/$1\n",
    )
    (tmp_path / "in.scp").write_text("a 1\nb 2\n")
    (tmp_path / "1").write_text("what the input names\n")
    return tmp_path


def times_run(step: Path) -> list[int]:
    ran = [step / f"ran.{job}" for job in (1, 2)]
    return [len(path.read_text().split()) if path.exists() else 0 for path in ran]


def test_second_call_does_nothing(step):
    assert run("./step.sh", cwd=step).returncode == 0
    again = run("./step.sh", cwd=step)
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    assert times_run(step) == [1, 1]


@pytest.mark.parametrize("change", ["option", "input", "archive behind the input"])
def test_other_inputs_are_refused(step, change):
    assert run("./step.sh", cwd=step).returncode == 0
    options = ["--period", "5"] if change == "option" else []
    if change == "input":
        (step / "in.scp").write_text("a 1\nb 3\n")
    elif change == "archive behind the input":
        (step / "1").write_text("another\n")
    result = run("./step.sh", *options, cwd=step)
    assert result.returncode == 1
    words = 'period was "10", is "5"' if change == "option" else "in.scp is another one now"
    assert f"out/sum was made otherwise: {words}" in result.stderr
    assert (step / "out/sum").read_text() == "a 1\nb 2\n"
    assert run("./step.sh", *options, "--overwrite", "true", cwd=step).returncode == 0
    assert times_run(step) == [2, 2]
    assert (step / "out/sum").read_text() == (step / "in.scp").read_text()


def test_only_missing_jobs_are_done(step):
    (step / "fail.2").touch()
    failed = run("./step.sh", cwd=step)
    assert failed.returncode == 1
    assert "out/log/x.2.log" in failed.stderr
    assert not (step / "out/sum").exists()
    (step / "fail.2").unlink()
    assert run("./step.sh", cwd=step).returncode == 0
    assert times_run(step) == [1, 1]


def test_missing_output_is_made_again(step):
    run("./step.sh", cwd=step)
    (step / "out/sum").unlink()
    assert run("./step.sh", cwd=step).returncode == 0
    assert (step / "out/sum").exists()


def test_output_of_another_origin_is_kept(step):
    (step / "out").mkdir()
    (step / "out/sum").write_text("precious\n")
    result = run("./step.sh", cwd=step)
    assert result.returncode == 1
    assert "was not made by this step; give another directory" in result.stderr
    assert run("./step.sh", "--overwrite", "true", cwd=step).returncode == 1
    assert (step / "out/sum").read_text() == "precious\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_to_write(step):
    step.chmod(stat.S_IRUSR | stat.S_IXUSR)
    result = run("./step.sh", cwd=step)
    step.chmod(0o755)
    assert result.returncode == 1
    assert "ermission denied" in result.stderr
