"""run.sh --model: a corpus is embedded, clustered and scored by a ready model, without training."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.data import write_corpus
from helpers.models import solve
from helpers.shell import copy_checkout, run, times_of_files

from unspeech.kaldi.archives import iterate_arrays
from unspeech.kaldi.tables import read_table


@pytest.fixture(scope="module")
def place(tmp_path_factory, statistics_model) -> Path:
    place = copy_checkout(tmp_path_factory.mktemp("place") / "checkout")
    write_corpus(place / "corpora/talks", speakers=3, utterances=6)
    shutil.copytree(statistics_model, place / "ready")
    return place


def command(place: Path, *options) -> list:
    words = ["--corpus", "corpora/talks", "--model", "ready", "--nj", 1, "--rounds", 1]
    return [place / "run.sh", *map(str, words), *map(str, options)]


@pytest.fixture(scope="module")
def finished(place) -> Path:
    result = run(*command(place), cwd=place, KALDI_ROOT="")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "exp/talks/report.html"
    return place / "exp/talks"


def test_nothing_is_trained(place, finished, monkeypatch):
    monkeypatch.chdir(place)  # scp files hold paths relative to where run.sh was called
    assert not (finished / "model").exists()
    names = [json.loads(line)["name"] for line in (finished / "log/stages.jsonl").open()]
    assert names == [
        "data talks", "make_fbank talks", "adapt talks", "extract talks",
        "embed_utterances talks", "cluster talks", "make_clustered_data_dir talks",
        "evaluate talks",
    ]  # fmt: skip
    ready = (place / "ready/final.ie.id").read_text()
    assert (finished / "ivectors/talks/final.ie.id").read_text() == ready
    assert (finished / "adapted/talks/final.ie.id").read_text() != ready
    utterances = list(read_table(finished / "data/talks/utt2spk"))
    for table in ("embeddings/talks/embedding.scp", "ivectors/talks/ivector_online.scp"):
        assert [name for name, _ in iterate_arrays(finished / table)] == utterances
    assert list(read_table(finished / "clusters/talks/utt2spk")) == utterances
    assert 0 <= json.loads((finished / "eval/talks/scores.json").read_text())["eer"] <= 100
    assert (finished / "report.html").stat().st_size > 1000


def test_a_second_call_does_nothing(place, finished):
    before = times_of_files(finished)
    result = run(*command(place), cwd=place, KALDI_ROOT="")
    assert result.returncode == 0, result.stderr
    assert times_of_files(finished) == before


def test_another_model_is_refused(place, finished, monkeypatch):
    """Of the same name, but with another id."""
    monkeypatch.chdir(place)
    solve(finished / "data/talks", place / "ready", "--out", place / "other")
    (place / "ready").rename(place / "away")
    (place / "other").rename(place / "ready")
    before = times_of_files(finished)
    try:
        result = run(*command(place), cwd=place, KALDI_ROOT="")
    finally:
        (place / "ready").rename(place / "other")
        (place / "away").rename(place / "ready")
    assert result.returncode == 1
    assert "exp/talks is another run's: model was" in result.stderr
    assert "give another --dir, or --overwrite true" in result.stderr
    assert times_of_files(finished) == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "none"], "none/final.ie.id: no such file"),
        (["--model", "corpora"], "corpora/final.ie.id: no such file"),
    ],
)
def test_what_is_no_model(place, tmp_path, words, says):
    result = run(*command(place, *words, "--dir", tmp_path / "exp"), cwd=place, KALDI_ROOT="")
    assert result.returncode == 1
    assert says in result.stderr
