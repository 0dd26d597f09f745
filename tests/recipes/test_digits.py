"""The recogniser of digit strings: its data, and what it says without Kaldi."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.shell import ROOT, run

from unspeech.audio.decoding import wav_bytes
from unspeech.kaldi.tables import read_table, write_table

DIGITS = ROOT / "local/digits"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPEAKERS = ("ann", "bob", "cy", "dee")


def python(program: str, *options):
    path = str(ROOT / "python")
    return run(sys.executable, DIGITS / program, *options, PYTHONPATH=path)


def make_folds(corpus: Path, out: Path, *options):
    return python("make_folds.py", "--out", out, *options, corpus)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Each speaker saying each digit twice, in files called as those of the Free Spoken Digit
    Dataset; all are a tone of the speaker's own
    loudness."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for value, speaker in enumerate(SPEAKERS, start=1):
        for digit in range(10):
            for number in range(2):
                samples = np.full(2000 + 100 * digit, 0.1 * value, np.float32)
                samples[::2] *= -1
                path = folder / f"{digit}_{speaker}_{number}.wav"
                path.write_bytes(wav_bytes(samples, 8000))
    return folder


@pytest.fixture
def corpus(folder, tmp_path) -> Path:
    """The same as a data directory."""
    corpus = tmp_path / "corpus"
    files = {path.stem: path for path in folder.iterdir()}
    write_table(corpus / "wav.scp", files)
    write_table(corpus / "utt2spk", {name: name.split("_")[1] for name in files})
    write_table(corpus / "text", {name: WORDS[int(name[0])] for name in files})
    return corpus


def speakers_tested(out: Path) -> list[tuple[str, ...]]:
    return [tuple(read_table(fold / "test/spk2utt")) for fold in sorted(out.glob("fold*/true"))]


def test_each_digit_is_said_once_and_each_speaker_tested_once(corpus, tmp_path):
    out = tmp_path / "data"
    made = make_folds(corpus, out, "--folds", 2, "--seed", 3)
    assert made.returncode == 0, made.stderr
    assert sorted(sum(speakers_tested(out), ())) == sorted(SPEAKERS)
    for fold in ("fold1", "fold2"):
        words, speakers = Counter(), Counter()
        for part in ("train", "test"):
            data = out / fold / "true" / part
            text, utt2spk = read_table(data / "text"), read_table(data / "utt2spk")
            assert list(text) == list(utt2spk) == list(read_table(data / "wav.scp"))
            assert all(name.startswith(f"{speaker}-") for name, speaker in utt2spk.items())
            words.update(" ".join(text.values()).split())
            speakers.update(set(utt2spk.values()))
        assert words == dict.fromkeys(WORDS, 2 * len(SPEAKERS))
        assert speakers == dict.fromkeys(SPEAKERS, 1)
    strings = read_table(out / "strings/text").values()
    assert {len(text.split()) for text in strings} <= set(range(3, 10))


def test_shares_depend_on_the_seed(corpus, tmp_path):
    divisions = set()
    for seed in range(3):
        for copy in ("a", "b"):
            made = make_folds(corpus, tmp_path / f"{seed}{copy}", "--folds", 2, "--seed", seed)
            assert made.returncode == 0, made.stderr
        assert speakers_tested(tmp_path / f"{seed}a") == speakers_tested(tmp_path / f"{seed}b")
        divisions.add(tuple(speakers_tested(tmp_path / f"{seed}a")))
    assert len(divisions) > 1


def test_folder_of_the_free_spoken_digit_dataset(folder, corpus, tmp_path):
    assert make_folds(folder, tmp_path / "a", "--folds", 2).returncode == 0
    assert make_folds(corpus, tmp_path / "b", "--folds", 2).returncode == 0
    for name in ("text", "utt2spk", "utt2dur"):
        joined = [tmp_path / run / "strings" / name for run in ("a", "b")]
        assert joined[0].read_text() == joined[1].read_text()


def test_kaldi_accepts_the_data(corpus, tmp_path, kaldi):
    make_folds(corpus, tmp_path / "data", "--folds", 2)
    for part in ("train", "test"):
        check = [kaldi / "egs/wsj/s5/utils/validate_data_dir.sh", "--no-feats"]
        result = run(*check, tmp_path / "data/fold1/true" / part, cwd=kaldi / "egs/wsj/s5")
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, f: write_table(c / "text", {"0_ann_0": "oh"}), "'oh'; expected some of zero"),
        (lambda c, f: (c / "text").unlink(), "utterance '0_ann_0': no transcript"),
        (lambda c, f: (c / "utt2spk").unlink(), "utt2spk: no such file"),
    ],
)
def test_corpora_that_cannot_be_used(corpus, folder, tmp_path, change, message):
    change(corpus, folder)
    made = make_folds(corpus, tmp_path / "data", "--folds", 2)
    assert made.returncode == 1
    assert message in made.stderr
    assert "Traceback" not in made.stderr


def test_too_many_folds_and_other_names(corpus, folder, tmp_path):
    many = make_folds(corpus, tmp_path / "data", "--folds", 5)
    assert many.returncode == 1
    assert "--folds is 5, but must be 2 to 4" in many.stderr
    (folder / "0_ann_0.wav").rename(folder / "zero.wav")
    other = make_folds(folder, tmp_path / "other")
    assert other.returncode == 1
    assert "zero.wav: the name is not <digit>_<speaker>_<number>" in other.stderr


def test_kaldi_must_be_compiled(corpus, tmp_path):
    command = [DIGITS / "run.sh", "--corpus", corpus, "--dir", tmp_path / "exp"]
    without = run(*command, KALDI_ROOT="", PATH="/usr/bin:/bin", cwd=tmp_path)
    assert without.returncode == 1
    assert "set KALDI_ROOT" in without.stderr
    (tmp_path / "kaldi/egs/wsj/s5/utils").mkdir(parents=True)
    (tmp_path / "kaldi/src/gmmbin").mkdir(parents=True)
    program = tmp_path / "kaldi/src/gmmbin/gmm-est"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    part = run(*command, KALDI_ROOT=str(tmp_path / "kaldi"), PATH="/usr/bin:/bin", cwd=tmp_path)
    assert part.returncode == 1
    assert "compute-mfcc-feats" in part.stderr
    assert "nnet3-chain-train" in part.stderr
    assert "gmm-est" not in part.stderr
    assert not (tmp_path / "exp").exists()
    usage = run(DIGITS / "run.sh", cwd=tmp_path)
    assert usage.returncode == 1
    assert "Usage: local/digits/run.sh" in usage.stderr
