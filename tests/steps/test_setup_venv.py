"""Setting up .venv: once, again when the requirements change, in order when it fails."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from helpers.shell import ROOT, STEPS, run, wait_until, write_script

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


def test_a_set_up_that_fails_leaves_what_was_there(checkout):
    checkout.setup()
    for wrong in ({"PIP_FAILS": "1"}, {"WRONG_VERSION": "1"}):
        assert checkout.setup("--gpu", "true", **wrong).returncode == 1
        checkout.installations()
        assert checkout.setup().returncode == 0
        assert checkout.installations() == [], "it is there still"


def test_what_a_killed_and_a_failed_set_up_leave(checkout):
    checkout.setup()
    venv = checkout.root / ".venv"
    venv.rename(checkout.root / ".venv.replaced")  # as one that was killed leaves them
    venv.mkdir()
    (venv / "begun").touch()
    assert checkout.setup("--gpu", "true", PIP_FAILS="1").returncode == 1
    assert checkout.setup("--dev", "true", PIP_FAILS="1").returncode == 1
    checkout.installations()
    assert checkout.setup().returncode == 0
    assert checkout.installations() == [], "the complete one is there still"


def test_an_environment_of_somebody_else_is_kept(checkout):
    (checkout.root / ".venv/lib").mkdir(parents=True)
    result = checkout.setup()
    assert result.returncode == 1
    assert ".venv is there, and was not made by this script" in result.stderr
    assert (checkout.root / ".venv/lib").is_dir()


def test_two_setups_at_once_install_once(checkout):
    environment = {**os.environ, **checkout.environment, "PIP_SECONDS": "0.3"}
    both = [subprocess.Popen([checkout.command], env=environment) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert len(checkout.installations()) == 1


def test_setup_without_a_suitable_python(checkout):
    result = checkout.setup(WRONG_VERSION="1")
    assert result.returncode == 1
    assert "no Python 3.11, 3.12 or 3.13" in result.stderr
