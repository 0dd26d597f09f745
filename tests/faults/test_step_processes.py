"""Steps beside others: locks, what a kill leaves, archives as input, a fresh clone."""

import gzip
import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.shell import ROOT, STEPS, run, run_bash, wait_until, write_script
from helpers.step_calls import SLOW, done, step

from unspeech.kaldi.archives import ArkWriter, iterate_arrays
from unspeech.kaldi.tables import read_table, write_table


def test_two_calls_share_the_work_of_one(place):
    command = [STEPS / "make_fbank.sh", "--nj", "2", "data"]
    environment = {**os.environ, "KALDI_ROOT": ""}
    both = [subprocess.Popen(command, cwd=place, env=environment) for _ in range(2)]
    assert [process.wait(SLOW) for process in both] == [0, 0]
    assert list(read_table(place / "data/feats.scp")) == ["a-1", "a-2", "b-1"]


def test_data_directories_of_one_name_do_not_mix(place):
    places = [place / "one/data", place / "other/data"]
    for number, data in enumerate(places):
        shutil.copytree(place / "data", data)
        first, *rest = read_table(data / "wav.scp").items()
        write_table(data / "wav.scp", dict([first, *rest[:number]]))
        (data / "utt2spk").unlink(missing_ok=True)
    calls = [
        subprocess.Popen(
            [STEPS / "make_fbank.sh", "--nj", "1", data, place / "log", place / "fbank"],
            env={**os.environ, "KALDI_ROOT": "", "UNSPEECH_LOCK_SECONDS": "300"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for data in places
    ]
    said = [process.communicate(timeout=SLOW)[1] for process in calls]
    well = [process.returncode == 0 for process in calls]
    assert sorted(well) == [False, True]
    assert "was not made by this step" in said[well.index(False)]
    good = places[well.index(True)]
    assert read_table(good / "feats.scp").keys() == read_table(good / "wav.scp").keys()


def working_step(place: Path) -> tuple[subprocess.Popen, Path]:
    """A make_fbank.sh at work on a pipe that does not end, and the file of the pipe's number."""
    pid = place / "pid"
    write_table(place / "data/wav.scp", {"a-1": f"echo $$ > {pid}; sleep 1000; true |"})
    (place / "data/utt2spk").unlink()
    process = subprocess.Popen(
        [STEPS / "make_fbank.sh", "data"],
        cwd=place,
        env={**os.environ, "KALDI_ROOT": ""},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert wait_until(lambda: pid.exists() and pid.read_text().strip())
    return process, pid


def test_a_second_call_says_who_works_there(place):
    process, _ = working_step(place)
    words = ["--overwrite", "true", "data"]
    result = step("make_fbank", *words, cwd=place, KALDI_ROOT="", UNSPEECH_LOCK_SECONDS="0.2")
    process.kill()
    process.wait()
    assert result.returncode == 1
    assert f"make_fbank.sh, process {process.pid} on " in result.stderr
    assert "wait for it, or give another directory" in result.stderr


def processes_of(place: Path) -> list[int]:
    """Those that are at work in a folder, by their working directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                Path(os.readlink(process / "cwd")) == place
                and "State:\tZ" not in (process / "status").read_text()
            ):
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("root", ["", "kaldi"])
def test_pipes_end_with_a_killed_step(place, number, root, request):
    if root and number != signal.SIGKILL:
        pytest.skip("one signal is enough for Kaldi's runner")
    process, _ = working_step(place)
    assert len(processes_of(place)) > 3
    if number == signal.SIGINT:  # a terminal sends it to the whole group
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    process.wait(SLOW)
    assert wait_until(lambda: not processes_of(place)), processes_of(place)
    assert not (place / "data/feats.scp").exists()


def test_parts_of_files_are_removed(place):
    parts = [place / "data" / name for name in (".feats.scp.x7.part", "log/.y.part")]
    parts.append(place / "fbank/.raw_fbank_data.1.ark.abcd_123.part")
    other = place / "data/other/.y.part"  # in a folder that has a lock of its own
    for part in [*parts, other]:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    (place / "data/other/.lock").touch()
    done("make_fbank", "data", "data/log", "fbank", cwd=place, KALDI_ROOT="")
    assert not [part for part in parts if part.exists()]
    assert other.exists()


def test_parts_of_others_stay(place):
    """A step that makes `data/train` does not remove what one for `data/train_sp` has begun."""
    others = [place / ".out_sp.part/utt2spk", place / ".outside.abcd_123.part"]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.touch()
    (place / ".out.part").mkdir()
    done("import_corpus", "data", "out", cwd=place)
    assert all(other.exists() for other in others)
    assert not (place / ".out.part").exists()


@pytest.mark.parametrize("kind", ["ark", "ark.gz", "text"])
def test_archives_are_split_as_tables_are(kind, place, monkeypatch):
    monkeypatch.chdir(place)
    expected = dict(iterate_arrays(place / "feats/feats.scp"))
    archive = place / f"x.{kind.replace('text', 'ark')}"
    with ArkWriter(place / "y.ark", text=kind == "text") as writer:
        for name, matrix in expected.items():
            writer.write(name, matrix)
    content = (place / "y.ark").read_bytes()
    archive.write_bytes(gzip.compress(content) if kind == "ark.gz" else content)
    script = (
        f'cd "{place}"; mkdir split; scp=$(scp_of {archive.name} split); split_scp "$scp" 2 split'
    )
    result = run_bash(script)
    assert (result.returncode, result.stdout) == (0, "2\n"), result.stderr
    parts = [place / f"split/{archive.name}.{job}.scp" for job in (1, 2)]
    found = {u: m for part in parts for u, m in iterate_arrays(part)}
    assert list(found) == list(expected)
    assert all(np.allclose(found[u], expected[u], rtol=1e-5) for u in expected)


def test_extraction_from_an_archive(place, many_data, statistics_model, monkeypatch):
    monkeypatch.chdir(place)
    archive = place / "x.ark.gz"
    archive.write_bytes(gzip.compress((many_data / "feats.ark").read_bytes()))
    done("extract", "--nj", 2, archive, statistics_model, "of_archive", cwd=place, KALDI_ROOT="")
    done("extract", many_data, statistics_model, "of_data", cwd=place, KALDI_ROOT="")
    found = dict(iterate_arrays("of_archive/ivector_online.scp"))
    for name, rows in iterate_arrays("of_data/ivector_online.scp"):
        np.testing.assert_array_equal(found.pop(name), rows)
    assert not found
    assert not list(Path("of_archive/split").glob("*.ark"))


def test_a_step_of_a_fresh_clone_says_what_to_run(place):
    clone = place / "clone"
    ignored = shutil.ignore_patterns(".git", ".venv*", "exp", "tests", ".*_cache")
    shutil.copytree(ROOT, clone, ignore=ignored)
    python = subprocess.run(["which", "python3"], capture_output=True, text=True, check=True)
    write_script(place / "bin/python3", f'#!/bin/sh\nexec {python.stdout.strip()} -S "$@"\n')
    words = [clone / "steps_unspeech/make_fbank.sh", "data"]
    environment = {"PATH": f"{place}/bin:/usr/bin:/bin", "KALDI_ROOT": "", "PYTHONPATH": ""}
    result = run(*words, cwd=place, **environment)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"set up .venv once by {clone}/steps_unspeech/lib/setup_venv.sh" in result.stderr


FAKE_SLURM = {
    "sbatch": "cat > /dev/null; echo 7",
    "squeue": 'case "$*" in *--jobs*) echo "1 COMPLETING" ;; esac',
    "scancel": "true",
}


def test_a_job_that_slurm_cannot_clear_away_is_given_up(tmp_path):
    for name, line in FAKE_SLURM.items():
        write_script(tmp_path / f"bin/{name}", f"#!/bin/sh\n{line}\n")
    script = (STEPS / "lib/run_slurm.py").read_text().replace("STUCK = 600.0", "STUCK = 1.0")
    shutil.copytree(STEPS / "lib", tmp_path / "steps_unspeech/lib")
    (tmp_path / "steps_unspeech/lib/run_slurm.py").write_text(script)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    command = [tmp_path / "steps_unspeech/lib/run_slurm.py", "JOB=1:1", "log/x.JOB.log", "true"]
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}/python"}
    result = run("timeout", SLOW, *command, cwd=tmp_path, **environment)
    assert result.returncode == 1
    assert "did not come to its end: COMPLETING" in (tmp_path / "log/x.1.log").read_text()
    (tmp_path / "bin/squeue").write_text("#!/bin/sh\necho 7 test x CG\n")
    result = run("timeout", SLOW, *command, cwd=tmp_path, **environment)
    assert result.returncode == 1
    assert "a job of an earlier call" in result.stderr
    assert "cannot be cancelled" in result.stderr


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b"])
def test_files_of_utterances_stay_in_their_folder(name, tmp_path):
    from unspeech.cli.errors import UnspeechError
    from unspeech.embedding.outputs import write_zerospeech
    from unspeech.embedding.rows import RowOptions
    from unspeech.network.config_files import make_config

    config = make_config({}, "test")
    with pytest.raises(UnspeechError, match="a file cannot have its name"):
        write_zerospeech(tmp_path / "a/b/c", name, np.zeros((2, 3)), RowOptions(), config)
    assert not list(tmp_path.iterdir())


def test_copies_do_not_share_a_file(place):
    for name in ("wav.scp", "utt2spk"):
        text = (place / "data" / name).read_text()
        (place / "data" / name).write_text(text.replace("a-1 ", "b/1 ", 1))
    result = step("augment", "data", "out", cwd=place, KALDI_ROOT="")
    assert result.returncode == 1
    assert "'b/1'" in result.stderr.replace("aug1-", "")
    assert "would both become file 'aug1-b-1.wav'" in result.stderr
    assert not (place / "out/audio").exists()


def test_settings_are_readable(place):
    """A state file is a table, also with hostile values."""
    done("import_corpus", "data", "out", cwd=place)
    state = (place / ".out.made_from").read_text()
    settings = yaml.safe_load("\n".join(line.replace(" ", ": ", 1) for line in state.splitlines()))
    assert settings["output:1"] == "out"
    assert settings["features"] is True
