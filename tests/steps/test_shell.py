"""The shell layer: options of scripts, the choice of runners, Kaldi on PATH, splitting."""

import shutil
from pathlib import Path

import pytest
from helpers.shell import ROOT, STEPS, run, run_bash, write_script

# Options


@pytest.fixture
def script(tmp_path):
    """A script with options, which prints them and its arguments."""
    return write_script(
        tmp_path / "script.sh",
        f"""#!/usr/bin/env bash
# Print options.
#
# Usage: script.sh [options] <argument>
set -euo pipefail
. "{ROOT}/path.sh"

nj=4               # jobs
cmd=run.pl
flag=false
some_name=

. parse_options.sh
late=1
echo "nj=$nj cmd=$cmd flag=$flag some_name=$some_name arguments=$*"
""",
    )


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ([], "nj=4 cmd=run.pl flag=false some_name= arguments="),
        (
            ["--nj", "8", "data", "--nj"],
            "nj=8 cmd=run.pl flag=false some_name= arguments=data --nj",
        ),
        (["--some-name", "a", "x"], "nj=4 cmd=run.pl flag=false some_name=a arguments=x"),
        (["--some_name=a=b c"], "nj=4 cmd=run.pl flag=false some_name=a=b c arguments="),
        (["--cmd", "queue.pl --mem 4G"], "cmd=queue.pl --mem 4G"),
        (["--flag", "true", "--", "--nj"], "flag=true some_name= arguments=--nj"),
        (["--some-name", "$(touch oops) `touch oops`"], "some_name=$(touch oops) `touch oops`"),
    ],
)
def test_options_are_set(script, options, printed):
    result = run(script, *options, cwd=script.parent)
    assert result.returncode == 0, result.stderr
    assert printed in result.stdout
    assert not (script.parent / "oops").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--unknown", "1"], "unknown option --unknown"),
        (["-x"], "unknown option -x"),
        (["--PATH", "/"], "unknown option --PATH"),
        (["--inherited", "1"], "unknown option --inherited"),
        (["--late", "1"], "unknown option --late"),
        (["--nj"], "--nj needs a value"),
        (["--nj", "many"], "--nj takes an integer, not 'many'"),
        (["--flag", "yes"], "--flag takes true or false, not 'yes'"),
        (["--cmd", ""], "--cmd is empty"),
    ],
)
def test_wrong_options_are_named(script, options, message):
    result = run(script, *options, inherited="0")
    assert result.returncode == 1
    assert message in result.stderr
    assert "nj=" not in result.stdout


def test_options_of_the_environment_keep_the_defaults(script):
    assert "nj=4" in run(script, nj="9").stdout
    assert "nj=5" in run(script, "--nj", "5", nj="9").stdout


def test_help_prints_usage_and_options(script):
    result = run(script, "--help")
    assert result.returncode == 0
    assert "Usage: script.sh [options] <argument>" in result.stdout
    assert "--nj 4" in result.stdout
    assert "--some-name" in result.stdout
    assert "late" not in result.stdout


@pytest.mark.parametrize("step", sorted(STEPS.glob("*.sh")), ids=lambda step: step.name)
def test_steps_print_usage_and_refuse_unknown_options(step, tmp_path):
    wrong = run(step, cwd=tmp_path)
    assert wrong.returncode == 1
    assert f"Usage: steps_unspeech/{step.name}" in wrong.stderr
    unknown = run(step, "--no-such-option", "1", cwd=tmp_path)
    assert unknown.returncode == 1
    assert "unknown option --no-such-option" in unknown.stderr
    assert list(tmp_path.iterdir()) == []


# path.sh and cmd.sh


def fake_kaldi(root: Path, *scripts: str) -> Path:
    for name in scripts:
        write_script(root / "egs/wsj/s5/utils" / name, "#!/bin/sh\n")
    return root


def test_kaldi_is_optional(tmp_path):
    result = run_bash(
        f'. "{ROOT}/cmd.sh"; echo "$train_cmd,$gpu_cmd"; command -v run_local.py',
        cwd=tmp_path,
        KALDI_ROOT="",
        PATH="/usr/bin:/bin",
    )
    assert result.stdout.splitlines()[0] == "run_local.py,run_local.py"


SLURM = f"--config {ROOT}/conf/slurm.conf --mem 4G"
SGE = f"--config {ROOT}/conf/queue.conf --mem 4G"


@pytest.mark.parametrize(
    ("queue", "scripts", "commands"),
    [
        ("local", ["run.pl", "slurm.pl"], "run.pl,run.pl"),
        ("slurm", ["slurm.pl"], f"slurm.pl {SLURM},slurm.pl {SLURM} --gpu 1"),
        ("slurm", [], f"run_slurm.py {SLURM},run_slurm.py {SLURM} --gpu 1"),
        ("sge", ["queue.pl"], f"queue.pl {SGE},queue.pl {SGE} --gpu 1"),
    ],
)
def test_runners_are_chosen(tmp_path, queue, scripts, commands):
    kaldi = fake_kaldi(tmp_path / "kaldi", "run.sh", *scripts)
    show = f'. "{ROOT}/cmd.sh"; echo "$train_cmd,$gpu_cmd"'
    environment = {"KALDI_ROOT": str(kaldi), "UNSPEECH_QUEUE": queue}
    assert run_bash(show, **environment).stdout.strip() == commands
    assert run_bash(show, **environment, train_cmd="ssh.pl").stdout.startswith("ssh.pl,")


def test_an_unknown_queue_is_an_error():
    result = run_bash(f'. "{ROOT}/cmd.sh"', UNSPEECH_QUEUE="lsf")
    assert result.returncode == 1
    assert "unspeech_queue is 'lsf'; it may be local, slurm or sge" in result.stderr


def test_kaldi_is_found_three_levels_up(tmp_path):
    kaldi = fake_kaldi(tmp_path / "kaldi", "run.pl")
    checkout = kaldi / "egs/tedlium/unspeech"
    shutil.copytree(STEPS, checkout / "steps_unspeech")
    shutil.copy(ROOT / "path.sh", checkout)
    show = f'. {checkout}/path.sh; echo "$KALDI_ROOT"; command -v run.pl parse_options.sh'
    lines = run("bash", "-c", f"set -eu; {show}", KALDI_ROOT="").stdout.splitlines()
    assert lines[0] == str(kaldi)
    assert lines[1] == str(kaldi / "egs/wsj/s5/utils/run.pl")


def test_wrong_kaldi_root_is_an_error(tmp_path):
    result = run_bash("echo here", KALDI_ROOT=str(tmp_path))
    assert result.returncode == 1
    assert "KALDI_ROOT" in result.stderr
    assert "here" not in result.stdout


# Splitting


@pytest.mark.parametrize(
    ("lines", "nj", "sizes"), [(10, 3, [4, 3, 3]), (4, 4, [1] * 4), (2, 9, [1, 1])]
)
def test_split_scp(tmp_path, lines, nj, sizes):
    text = [f"utt{i:02d} file.ark:{i}\n" for i in range(lines)]
    (tmp_path / "feats.scp").write_text("".join(text))
    (tmp_path / "split").mkdir()
    (tmp_path / "split/feats.99.scp").write_text("of an older split\n")
    result = run_bash(f"split_scp feats.scp {nj} split", cwd=tmp_path)
    assert result.stdout.strip() == str(len(sizes))
    parts = [tmp_path / f"split/feats.{job}.scp" for job in range(1, len(sizes) + 1)]
    assert sorted((tmp_path / "split").iterdir()) == sorted(parts)
    assert [len(part.read_text().splitlines()) for part in parts] == sizes
    assert "".join(part.read_text() for part in parts) == "".join(text)


def test_split_scp_as_kaldi_does(tmp_path, kaldi):
    (tmp_path / "feats.scp").write_text("".join(f"u{i:03d} x\n" for i in range(103)))
    run_bash("split_scp feats.scp 7 split", cwd=tmp_path)
    theirs = [tmp_path / f"kaldi.{job}" for job in range(1, 8)]
    run(kaldi / "egs/wsj/s5/utils/split_scp.pl", tmp_path / "feats.scp", *theirs)
    for job, path in enumerate(theirs, start=1):
        assert (tmp_path / f"split/feats.{job}.scp").read_text() == path.read_text()


def test_split_scp_of_an_empty_file(tmp_path):
    (tmp_path / "feats.scp").touch()
    result = run_bash("split_scp feats.scp 2 split", cwd=tmp_path)
    assert result.returncode == 1
    assert "feats.scp: the file is empty" in result.stderr


# What an output was made from


# The job runner


# Setting up .venv
