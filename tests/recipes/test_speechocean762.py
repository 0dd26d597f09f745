"""The recipe of SpeechOcean762: its data and dictionary, and what it says without Kaldi."""

import sys

import numpy as np
import pytest
from helpers.shell import ROOT, run

from unspeech.audio.decoding import wav_bytes
from unspeech.kaldi.tables import read_table, write_table

RECIPE = ROOT / "local/speechocean762"
LEXICON = "GO\tG OW1\nNO\tN OW0\nA\tAH0\nA\tEY1\n"


def make_data(corpus, out, *options):
    program = RECIPE / "make_data.py"
    path = str(ROOT / "python")
    return run(sys.executable, program, "--out", out, *options, corpus, PYTHONPATH=path)


@pytest.fixture
def corpus(tmp_path):
    """A folder like the published one: tables with relative paths, names without the speaker."""
    corpus = tmp_path / "corpus"
    for part, speakers in (("train", ("0001", "0002", "0003")), ("test", ("0004",))):
        wav, utt2spk, text = {}, {}, {}
        for speaker in speakers:
            for number in range(2):
                utterance = f"{speaker}{number}"
                wav[utterance] = f"WAVE/SPEAKER{speaker}/{utterance}.WAV"
                utt2spk[utterance], text[utterance] = speaker, "GO A" if number else "NO"
                file = corpus / wav[utterance]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(wav_bytes(np.zeros(1600, np.float32), 16000))
        for name, table in (("wav.scp", wav), ("utt2spk", utt2spk), ("text", text)):
            write_table(corpus / part / name, table)
    (corpus / "resource").mkdir()
    (corpus / "resource/lexicon.txt").write_text(LEXICON)
    return corpus


def test_published_parts(corpus, tmp_path):
    made = make_data(corpus, tmp_path / "data")
    assert made.returncode == 0, made.stderr
    assert "3 speakers to train on, 1 to test" in made.stdout
    train, test = (tmp_path / "data/true" / part for part in ("train", "test"))
    assert list(read_table(train / "spk2utt")) == ["0001", "0002", "0003"]
    assert read_table(test / "text") == {"00040": "NO", "00041": "GO A"}
    path = corpus / "WAVE/SPEAKER0004/00040.WAV"
    assert read_table(test / "wav.scp")["00040"] == str(path)
    assert (tmp_path / "data/lm_text").read_text().splitlines() == ["NO", "GO A"] * 3


def test_dictionary(corpus, tmp_path):
    make_data(corpus, tmp_path / "data")
    files = {path.name: path.read_text() for path in (tmp_path / "data/dict").iterdir()}
    assert "A AH0\nA EY1\nGO G OW1\nNO N OW0\n" in files["lexicon.txt"]
    assert "OW0 OW1\n" in files["nonsilence_phones.txt"]
    assert files["extra_questions.txt"].splitlines() == ["SIL SPN", "AH0 OW0", "EY1 OW1", "G N"]


def test_speakers_held_out_of_the_training_part(corpus, tmp_path):
    made = make_data(corpus, tmp_path / "data", "--held-out", 1)
    assert made.returncode == 0, made.stderr
    parts = [set(read_table(tmp_path / f"data/true/{part}/spk2utt")) for part in ("train", "test")]
    assert len(parts[0]) == 2
    assert len(parts[1]) == 1
    assert parts[0] | parts[1] == {"0001", "0002", "0003"}
    many = make_data(corpus, tmp_path / "other", "--held-out", 3)
    assert many.returncode == 1
    assert "--held-out 3: there are 3 speakers" in many.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: (c / "WAVE/SPEAKER0004/00040.WAV").unlink(), "00040.WAV: no such file"),
        (
            lambda c: write_table(c / "test/text", {"00040": "NO"}),
            "test/text: no line for utterance '00041'",
        ),
        (
            lambda c: (c / "resource/lexicon.txt").write_text("GO\tG OW1\nA\tAH0\n"),
            "utterance '00010': 'NO' is not in",
        ),
        (
            lambda c: (c / "resource/lexicon.txt").write_text("GO\n"),
            "lexicon.txt: line 1: expected a word and its phones",
        ),
    ],
)
def test_folders_that_cannot_be_used(corpus, tmp_path, change, message):
    change(corpus)
    made = make_data(corpus, tmp_path / "data")
    assert made.returncode == 1
    assert message in made.stderr
    assert "Traceback" not in made.stderr


def test_kaldi_accepts_the_data(corpus, tmp_path, kaldi):
    make_data(corpus, tmp_path / "data")
    utils = kaldi / "egs/wsj/s5/utils"
    for check in (
        [utils / "validate_data_dir.sh", "--no-feats", tmp_path / "data/true/train"],
        ["perl", utils / "validate_dict_dir.pl", tmp_path / "data/dict"],
    ):
        result = run(*check, cwd=kaldi / "egs/wsj/s5")
        assert result.returncode == 0, result.stdout + result.stderr


def test_kaldi_must_be_compiled(corpus, tmp_path):
    command = [RECIPE / "run.sh", "--corpus", corpus, "--dir", tmp_path / "exp"]
    without = run(*command, KALDI_ROOT="", PATH="/usr/bin:/bin", cwd=tmp_path)
    assert without.returncode == 1
    assert "set KALDI_ROOT" in without.stderr
    assert not (tmp_path / "exp").exists()
    usage = run(RECIPE / "run.sh", cwd=tmp_path)
    assert usage.returncode == 1
    assert "Usage: local/speechocean762/run.sh" in usage.stderr


def test_a_recipe_that_was_begun_takes_no_other_sizes(corpus, tmp_path):
    """Of Kaldi there are only the names of what is called; the language is where it ends."""
    utils = tmp_path / "kaldi/egs/wsj/s5/utils"
    for name in ("validate_data_dir.sh", "validate_dict_dir.pl", "lang/make_kn_lm.py"):
        (utils / name).parent.mkdir(parents=True, exist_ok=True)
        (utils / name).write_text("#!/bin/sh\n")
        (utils / name).chmod(0o755)
    programs = tmp_path / "kaldi/src/bin"
    programs.mkdir(parents=True)
    sizes = tmp_path / "sizes_mine.sh"
    sizes.write_text("network_dim=7\n")
    command = [RECIPE / "run.sh", "--corpus", corpus, "--dir", tmp_path / "exp", "--sizes", sizes]

    def started():
        return run(*command, KALDI_ROOT=str(tmp_path / "kaldi"), cwd=tmp_path).stderr

    for name in started().split("ERROR: no ")[1].split(" in ")[0].split():
        (programs / name).touch(mode=0o755)
    assert "data/lang: " in started()
    made = run("bash", "-c", ". ./sizes.sh; echo $network_dim $ivector_dim", cwd=tmp_path / "exp")
    assert made.stdout.split() == ["7", "100"]
    sizes.write_text("network_dim=8\n")
    assert "RESULTS.md was begun otherwise: sizes" in started()
    assert "network_dim=7" in (tmp_path / "exp/sizes.sh").read_text()
    ours = tmp_path / "s5"
    (ours / "data").mkdir(parents=True)
    options = ["--corpus", corpus, "--dir", ours, "--overwrite", "true"]
    refused = run(RECIPE / "run.sh", *options, KALDI_ROOT=str(tmp_path / "kaldi"), cwd=tmp_path)
    assert f"{ours}/data is there already, and was not made by this recipe" in refused.stderr
    assert list(ours.iterdir()) == [ours / "data"]
