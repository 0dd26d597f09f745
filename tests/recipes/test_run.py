"""The whole chain, ./run.sh, on a tiny corpus of made-up voices."""

import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.data import write_corpus
from helpers.models import RUN_SETTINGS, STATISTICS
from helpers.shell import copy_checkout, paused, run, times_of_files

from unspeech.kaldi.archives import iterate_arrays
from unspeech.kaldi.tables import read_table

RATE = 16000


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A checkout with two corpora and the settings of a tiny model without a network and of one."""
    place = copy_checkout(tmp_path_factory.mktemp("place") / "checkout")
    write_corpus(place / "corpora/train", speakers=6, utterances=5)
    write_corpus(place / "corpora/test", speakers=3, utterances=4)
    (place / "tiny.yaml").write_text(yaml.safe_dump(STATISTICS))
    (place / "network.yaml").write_text(yaml.safe_dump(RUN_SETTINGS))
    return place


def command(place: Path, *options) -> list:
    corpora = ["--corpus", "corpora/train", "--eval-corpus", "corpora/test"]
    settings = ["--config", "tiny.yaml", "--rounds", 1, "--nj", 1]
    return [place / "run.sh", *corpora, *settings, *map(str, options)]


@pytest.fixture(scope="module")
def finished(place) -> tuple[Path, subprocess.CompletedProcess]:
    """A finished run's directory, and what it said."""
    result = run(*command(place), cwd=place, KALDI_ROOT="")
    assert result.returncode == 0, result.stdout + result.stderr
    return place / "exp/train", result


def test_the_chain_leaves_what_the_contract_says(place, finished, monkeypatch):
    directory, result = finished
    monkeypatch.chdir(place)  # scp files hold paths relative to where run.sh was called
    assert result.stdout.splitlines()[-1] == "exp/train/report.html"
    assert (directory / "report.html").stat().st_size > 1000
    for name, count in (("train", 30), ("test", 12)):
        ivectors = dict(iterate_arrays(directory / f"ivectors/{name}/ivector_online.scp"))
        frames = read_table(directory / f"data/{name}/utt2num_frames")
        assert {u: len(rows) for u, rows in ivectors.items()} == {
            u: -(-int(n) // 10) for u, n in frames.items()
        }
        assert (directory / f"ivectors/{name}/ivector_period").read_text() == "10\n"
        ids = [directory / f"{d}/final.ie.id" for d in ("model", f"ivectors/{name}")]
        assert ids[0].read_text() == ids[1].read_text()
        vectors = dict(iterate_arrays(directory / f"embeddings/{name}/embedding.scp"))
        assert len(vectors) == count
        np.testing.assert_allclose([np.linalg.norm(v) for v in vectors.values()], 1, rtol=1e-5)
        assert len(read_table(directory / f"clusters/{name}/utt2spk")) == count
        assert len(read_table(directory / f"data/{name}_clustered/utt2spk")) == count
        scores = json.loads((directory / f"eval/{name}/scores.json").read_text())
        assert scores["utterances"] == count
        assert 0 <= scores["eer"] <= 100


def test_stages_are_measured(finished):
    directory, _ = finished
    lines = (directory / "log/stages.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["stage"] for r in records] == sorted(r["stage"] for r in records)
    assert {r["stage"] for r in records} == set(range(8))
    (train,) = (r for r in records if r["name"] == "train")
    assert train["seconds"] > 0
    assert train["peak_mb"] > 50  # of Python, not of the shell alone
    assert train["command"].startswith("steps_unspeech/train.sh ")


def test_second_call_does_nothing(place, finished):
    directory, _ = finished
    before = times_of_files(directory)
    result = run(*command(place), cwd=place, KALDI_ROOT="")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "exp/train/report.html"
    assert times_of_files(directory) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", "2"], 'exp/train is another run\'s: seed was "1", is "2"'),
        (["--corpus", "corpora/test", "--eval-corpus", ""], "exp/train is another run's: corpus"),
        (["--config", "conf/speaker.yaml"], "exp/train is another run's: config"),
    ],
)
def test_another_runs_directory_is_kept(place, finished, options, message):
    directory, _ = finished
    before = times_of_files(directory)
    result = run(*command(place, "--dir", "exp/train", *options), cwd=place, KALDI_ROOT="")
    assert result.returncode == 1
    assert message in result.stderr
    assert times_of_files(directory) == before


def test_other_settings_want_all_stages_again(place, finished):
    directory, _ = finished
    before = times_of_files(directory)
    options = ("--dir", "exp/train", "--seed", "2", "--stage", 4, "--overwrite", "true")
    result = run(*command(place, *options), cwd=place, KALDI_ROOT="")
    assert result.returncode == 1
    assert "give another --dir, or --overwrite true from stage 0 on" in result.stderr
    assert times_of_files(directory) == before


def test_what_a_trained_model_leaves_to_say(place, finished):
    options = ("--corpus", "corpora/train", "--model", "exp/train/model", "--dir", "exp/other")
    for more in (["--config", "tiny.yaml"], ["--num-steps", 5], ["--speed-perturb", "true"]):
        assert "--model is not trained: leave out --config" in fails(place, *options, *more)
    assert not (place / "exp/other").exists()


def test_longer_training_goes_on(place):
    ids = []
    for options in ((), ("--num-steps", "15", "--stage", 2)):
        options = ("--config", "network.yaml", "--dir", "exp/longer", "--stop-stage", 2, *options)
        result = run(*command(place, *options), cwd=place, KALDI_ROOT="")
        assert result.returncode == 0, result.stderr
        ids.append((place / "exp/longer/model/final.ie.id").read_text())
    assert "Going on from step 10" in (place / "exp/longer/model/log/train.log").read_text()
    assert ids[0] != ids[1]
    lines = (place / "exp/longer/log/stages.jsonl").read_text().splitlines()
    peaks = [each["peak_mb"] for each in map(json.loads, lines) if each["name"] == "train"]
    assert min(peaks) > 100


def test_killed_at_any_moment_it_goes_on(place, finished):
    """kill -9 just before a file is written, of each stage, gives the undisturbed run's output."""
    reference, _ = finished
    directory = place / "exp/killed"
    for file, number in (("data/train", 1), ("fbank/train/*.ark", 1), ("model/model.weights.h5", 1),
                         ("adapted/train/model.weights.h5", 1), ("ivectors/test/*.ark", 1),
                         ("clusters/train/utt2spk", 1)):  # fmt: skip
        with paused(
            command(place, "--dir", "exp/killed"),
            directory / file,
            place / "flag",
            number,
            cwd=place,
            env={**os.environ, "KALDI_ROOT": ""},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        ):
            assert not list(directory.glob(file)) or number > 1
    result = run(*command(place, "--dir", "exp/killed"), cwd=place, KALDI_ROOT="")
    assert result.returncode == 0, result.stderr
    for name in ("ivectors/train/ivector_online.1.ark", "ivectors/test/ivector_online.1.ark",
                 "clusters/train/utt2spk", "clusters/test/utt2spk"):  # fmt: skip
        assert (directory / name).read_bytes() == (reference / name).read_bytes(), name


def test_two_runs_do_not_share_a_directory(place, tmp_path):
    (tmp_path / "exp").mkdir()
    holder = subprocess.Popen(["flock", tmp_path / "exp/.lock", "sleep", "60"])
    while not (tmp_path / "exp/.lock").exists():
        time.sleep(0.01)
    words = [place / "run.sh", "--dir", tmp_path / "exp"]
    result = run(*words, cwd=place, UNSPEECH_LOCK_SECONDS="0.1")
    holder.kill()
    holder.wait()
    assert result.returncode == 1
    assert "another call is at work" in result.stderr


def fails(place: Path, *options) -> str:
    """Call run.sh with a corpus that it must refuse; returns its message."""
    result = run(place / "run.sh", *options, cwd=place, KALDI_ROOT="")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


def test_bad_corpora(place, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text/notes.wav").write_text("not audio\n")
    for corpus in ("nonexistent", "empty", "text"):
        message = fails(place, "--corpus", tmp_path / corpus, "--dir", tmp_path / f"exp-{corpus}")
        assert f"{tmp_path}/{corpus}" in message
        assert not (tmp_path / f"exp-{corpus}/data/{corpus}/feats.scp").exists()


def test_two_corpora_of_one_name(place):
    message = fails(place, "--corpus", "corpora/test", "--eval-corpus", "elsewhere/test")
    assert "two corpora are called 'test'" in message


def test_missing_config(place):
    assert "none.yaml: no such file" in fails(place, "--config", "none.yaml")
