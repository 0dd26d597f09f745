"""The shell layer: options, set-up, splitting, what an output was made from, the job runner."""

import os
import shutil
import signal
import stat
import subprocess
import time
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


# The job runner

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


def wait_until(condition, seconds=20) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


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


# Setting up .venv

FAKE_PYTHON = """#!/usr/bin/env bash
echo "python $*" >> "$CALLS"
case "$*" in
  -c*) exit "${WRONG_VERSION:-0}" ;;
  --version) echo "Python 3.11.0" ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python3" ;;
  "-m pip "*)
    echo "pip is at work"
    sleep "${PIP_SECONDS:-0}"
    [ -z "${PIP_FAILS:-}" ] || { echo "No matching distribution"; exit 1; } ;;
esac
"""


class Checkout:
    """A copy of what setup_venv.sh needs, with a python that only notes how it is called."""

    def __init__(self, root: Path) -> None:
        self.root, self.calls = root / "checkout", root / "calls"
        shutil.copytree(STEPS, self.root / "steps_unspeech")
        for path in [ROOT / "path.sh", *ROOT.glob("requirements*.txt")]:
            shutil.copy(path, self.root)
        for name in ("python3.11", "python3.12", "python3.13", "python3"):
            write_script(root / "bin" / name, FAKE_PYTHON)
        self.environment = {"PATH": f"{root}/bin:/usr/bin:/bin", "CALLS": str(self.calls)}
        self.command = self.root / "steps_unspeech/lib/setup_venv.sh"

    def setup(self, *options, **environment) -> subprocess.CompletedProcess:
        return run(self.command, *options, **{**self.environment, **environment})

    def installations(self) -> list[str]:
        """The pip calls since the last time this was asked."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return [line for line in lines if "pip install" in line]


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_setup_installs_once(checkout):
    first = checkout.setup()
    assert first.returncode == 0, first.stderr
    assert len(first.stdout.splitlines()) == 1
    (call,) = checkout.installations()
    assert "--constraint requirements-lock.txt" in call
    assert call.endswith("--requirement=requirements-cpu.txt")
    again = checkout.setup()
    assert (again.returncode, again.stdout) == (0, "")
    assert checkout.installations() == []


def test_setup_adds_what_tests_need(checkout):
    checkout.setup()
    checkout.installations()
    checkout.setup("--dev", "true")
    (call,) = checkout.installations()
    assert "requirements-dev.txt" in call
    checkout.setup()
    checkout.setup("--dev", "true")
    assert checkout.installations() == []


def test_setup_of_the_gpu_build_serves_both(checkout):
    checkout.setup()
    checkout.setup("--gpu", "true")
    assert "requirements-gpu.txt" in checkout.installations()[1]
    checkout.setup()
    assert checkout.installations() == []


@pytest.mark.parametrize("name", ["requirements-lock.txt", "requirements.txt"])
def test_setup_follows_the_requirements(checkout, name):
    checkout.setup()
    checkout.installations()
    with (checkout.root / name).open("a") as file:
        file.write("# changed\n")
    checkout.setup()
    assert len(checkout.installations()) == 1


def test_setup_after_a_killed_installation(checkout):
    command = subprocess.Popen(
        [checkout.command],
        env={**os.environ, **checkout.environment, "PIP_SECONDS": "1"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert wait_until(lambda: checkout.calls.exists() and "pip" in checkout.calls.read_text())
    os.killpg(command.pid, signal.SIGKILL)
    command.wait()
    checkout.installations()
    assert checkout.setup().returncode == 0
    assert len(checkout.installations()) == 1


def test_setup_failure_shows_pips_words(checkout):
    result = checkout.setup(PIP_FAILS="1")
    assert result.returncode == 1
    assert "No matching distribution" in result.stderr
    assert ".venv-setup.log" in result.stderr
    assert checkout.setup().returncode == 0


def test_two_setups_at_once_install_once(checkout):
    environment = {**os.environ, **checkout.environment, "PIP_SECONDS": "0.3"}
    both = [subprocess.Popen([checkout.command], env=environment) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert len(checkout.installations()) == 1


def test_setup_without_a_suitable_python(checkout):
    result = checkout.setup(WRONG_VERSION="1")
    assert result.returncode == 1
    assert "no Python 3.11, 3.12 or 3.13" in result.stderr
