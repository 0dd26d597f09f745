"""Jobs by Slurm: our runner and Kaldi's slurm.pl, on a real Slurm of this machine."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from helpers.data import write_corpus
from helpers.jobs import check_a_failure_and_what_is_left, step_of_three_jobs
from helpers.models import RUN_SETTINGS
from helpers.queues import slurm
from helpers.shell import ROOT, STEPS, copy_checkout, run, wait_until, write_script

RUN_SLURM = STEPS / "lib/run_slurm.py"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


def run_slurm(*words, cwd, **environment):
    return run(RUN_SLURM, *words, cwd=cwd, PYTHONPATH=str(ROOT / "python"), **environment)


def jobs_in_queue() -> list[str]:
    """Names of the jobs that wait or run; those just ended stay in squeue's list for a while."""
    command = ["squeue", "-h", "--states=PENDING,RUNNING", "-o", "%j"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return listed.stdout.split()


def test_a_failure_names_its_log_and_shows_its_end(tmp_path, cluster):
    check_a_failure_and_what_is_left(tmp_path, "run_slurm.py")
    words = ["JOB=1:2", "log/y.JOB.log", "echo", "job JOB", ";", "exit", "$[JOB-1]"]
    failed = run_slurm(*words, cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[:2] == [
        "run_slurm.py: 1 of 2 jobs failed",
        "  log: log/y.2.log",
    ]
    assert failed.stderr.splitlines()[-1] == "job 2"


def test_logs_and_words_are_those_of_the_local_runner(tmp_path, cluster):
    words = ["echo", "JOB a", "|", "sed", "s/a/b JOB/", ";", "echo", 'say "JOB"', "$[1+1]"]
    for runner in ("run_slurm.py", "run_local.py"):
        result = run(STEPS / "lib" / runner, "JOB=3:4", f"{runner}.JOB.log", *words, cwd=tmp_path,
                     PYTHONPATH=str(ROOT / "python"))  # fmt: skip
        assert result.returncode == 0, result.stderr
    for job in (3, 4):
        ours, theirs = (
            (tmp_path / f"{runner}.{job}.log").read_text().splitlines()
            for runner in ("run_slurm.py", "run_local.py")
        )
        assert ours[0] == theirs[0]
        assert ours[3:-2] == theirs[3:-2] == [f"{job} b {job}", f'say "{job}" 2']
        assert ours[-1].startswith("# Ended (code 0) at ")


def test_gpus_and_memory_are_asked_for(tmp_path, cluster):
    words = ["--mem", "2G", "--num-threads", "2", "--gpu", "1", "-t", "5", "x.log", "env"]
    result = run_slurm(*words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    environment = (tmp_path / "x.log").read_text().splitlines()
    for line in ("CUDA_VISIBLE_DEVICES=0", "SLURM_CPUS_PER_TASK=2", "SLURM_MEM_PER_NODE=2048"):
        assert line in environment
    result = run_slurm("--gpu", "0", "y.log", "env", cwd=tmp_path)
    assert "CUDA_VISIBLE_DEVICES=0" not in (tmp_path / "y.log").read_text()
    assert "--gres" in run_slurm("--gpu", "99", "z.log", "true", cwd=tmp_path).stderr
    (tmp_path / "own.conf").write_text("command sbatch\noption gpu=0\ndefault gpu=0\n")
    refused = run_slurm("--config", "own.conf", "--mem", "2G", "x.log", "true", cwd=tmp_path)
    assert refused.returncode == 1
    assert "own.conf: says nothing of --mem 2G" in refused.stderr


def test_a_cancelled_job_fails(tmp_path, cluster):
    script = step_of_three_jobs(
        tmp_path, "run_slurm.py", 'echo $$ > pid.$1; [ "$1" = 1 ] || sleep 100'
    )
    process = subprocess.Popen([script], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert wait_until(lambda: all((tmp_path / f"pid.{job}").exists() for job in (2, 3)))
    subprocess.run(["scancel", f"--name={jobs_in_queue()[0]}"], check=True)
    message = process.communicate(timeout=120)[1]
    assert process.returncode != 0
    assert "run_slurm.py: 2 of 3 jobs failed\n  log: out/log/x.2.log" in message
    assert message.splitlines()[-1].endswith("_2 did not come to its end: CANCELLED")


def test_jobs_end_with_the_step(tmp_path, cluster):
    script = step_of_three_jobs(tmp_path, "run_slurm.py", "echo $$ > pid.$1; exec sleep 100")
    process = subprocess.Popen([script], cwd=tmp_path, start_new_session=True)
    pids = [tmp_path / f"pid.{job}" for job in (1, 2, 3)]
    assert wait_until(lambda: all(path.exists() and path.read_text() for path in pids))
    process.kill()
    process.wait()
    running = [Path("/proc", path.read_text().strip()) for path in pids]
    assert wait_until(lambda: not jobs_in_queue() and not any(job.exists() for job in running))


def test_a_job_left_over_is_cancelled_first(tmp_path, cluster):
    write_script(
        tmp_path / "job.sh", "#!/bin/sh\necho $$ >> pids\n[ -e second ] || exec sleep 100\n"
    )
    words = ["x.log", "./job.sh"]
    process = subprocess.Popen(
        [RUN_SLURM, *words], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT / "python")}
    )
    assert wait_until((tmp_path / "pids").exists)
    process.kill()  # it cannot cancel any more
    process.wait()
    assert jobs_in_queue()
    (tmp_path / "second").touch()
    assert run_slurm(*words, cwd=tmp_path).returncode == 0
    assert len((tmp_path / "pids").read_text().split()) == 2
    assert not jobs_in_queue()


def test_the_chain_goes_through_sbatch(tmp_path, cluster):
    """run.sh from features to clusters; every log is that of a job of Slurm."""
    place = copy_checkout(tmp_path / "checkout")
    write_corpus(place / "corpora/train", speakers=4, utterances=4)
    (place / "tiny.yaml").write_text(yaml.safe_dump(RUN_SETTINGS | {"num_steps": 5}))
    command = [place / "run.sh", "--corpus", "corpora/train", "--config", "tiny.yaml"]
    command += ["--nj", "2", "--embed-nj", "2", "--stop-stage", "6"]
    result = run(*command, cwd=place, KALDI_ROOT="", UNSPEECH_QUEUE="slurm")
    assert result.returncode == 0, result.stdout + result.stderr
    logs = [path for path in (place / "exp/train").rglob("*.log") if path.parent.name == "log"]
    assert {path.name for path in logs} >= {
        *("make_fbank_train.2.log", "train.log", "extract.2.log", "embed.2.log", "cluster.log")
    }
    for path in logs:
        assert "Slurm job" in path.read_text(), path


# Kaldi's script


def test_kaldis_script_does_what_is_missing(tmp_path, cluster, kaldi):
    check_a_failure_and_what_is_left(tmp_path, f"slurm.pl --config {ROOT}/conf/slurm.conf --mem 1G")
