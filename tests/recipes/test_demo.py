"""The demo corpus: clearly different voices in rooms, the same for the same seed."""

import os
import subprocess
import sys
from pathlib import Path

import espeakng_loader
import numpy as np
import pytest
import yaml
from helpers.programs import ROOT
from helpers.shell import paused, run
from scipy.spatial.distance import pdist

from unspeech.audio.utterances import DataAudio
from unspeech.kaldi.tables import read_table

PROGRAM = ROOT / "local/demo/make_corpus.py"


def command(out: Path, *options) -> list:
    return [sys.executable, PROGRAM, "--out", out, *map(str, options)]


def make(out: Path, *options) -> str:
    done = run(*command(out, *options), PYTHONPATH=str(ROOT / "python"))
    assert done.returncode == 0, done.stderr
    return done.stdout


def contents(data: Path) -> dict[str, bytes]:
    """All files but wav.scp and what depends on it, which name the directory."""
    own = {"wav.scp", ".made_by_corpus"}
    files = [path for path in data.rglob("*") if path.is_file() and path.name not in own]
    return {str(path.relative_to(data)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "data"
    make(out, "--seed", 7, "--voices", 3, "--minutes", 0.6)
    return out


def test_data_directory(demo):
    utt2spk = read_table(demo / "utt2spk")
    for name in ("wav.scp", "text", "utt2room", "utt2dur"):
        assert list(read_table(demo / name)) == list(utt2spk) == sorted(utt2spk)
    assert list(read_table(demo / "spk2utt")) == ["01-en-m1", "02-en-us-f2", "03-de-m3"]
    assert all(name.startswith(speaker + "-") for name, speaker in utt2spk.items())
    assert 36 <= sum(float(value) for value in read_table(demo / "utt2dur").values()) < 63


def test_levels_and_lengths(demo):
    durations = read_table(demo / "utt2dur")
    for utterance, samples in DataAudio(demo, 16000).read():
        assert len(samples) / 16000 == pytest.approx(float(durations[utterance]), abs=1e-3)
        assert 3.2 < len(samples) / 16000 < 12  # a target with four contexts fits in
        assert np.abs(samples).max() < 0.96
        assert -35 < 20 * np.log10(samples.std()) < -18
        frames = samples[: len(samples) // 400 * 400].reshape(-1, 400)
        assert frames.std(axis=1).min() > 0  # no digital silence


def test_the_seed_determines_the_audio(demo, tmp_path):
    make(tmp_path / "again", "--seed", 7, "--voices", 3, "--minutes", 0.6, "--nj", 1)
    assert contents(tmp_path / "again") == contents(demo)
    make(tmp_path / "other", "--seed", 8, "--voices", 1, "--minutes", 0.1)
    other, same = contents(tmp_path / "other"), contents(demo)
    assert all(other[name] != same.get(name) for name in other)


def test_killed_and_started_again(demo, tmp_path, tmp_path_factory):
    flag = tmp_path_factory.mktemp("flag") / "flag"
    out, options = tmp_path / "data", ("--seed", 7, "--voices", 3, "--minutes", 0.6)
    audio = f"{tmp_path}/.data.part/audio/*.wav"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    with paused(command(out, *options), audio, flag, 3, env=environment, stdout=subprocess.DEVNULL):
        assert list(tmp_path.glob(".data.part/audio/*.wav"))
    assert not out.exists()
    make(out, *options)
    assert contents(out) == contents(demo)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_voices_are_many_and_exist():
    sys.path.insert(0, str(PROGRAM.parent))
    try:
        from make_corpus import VOICES
    finally:
        sys.path.pop(0)
    assert len({name for name, *_ in VOICES}) >= 30
    variants = Path(espeakng_loader.get_data_path()) / "voices/!v"
    sentences = yaml.safe_load((PROGRAM.parent / "sentences.yaml").read_text("utf-8"))
    for name, *_ in VOICES:
        language, variant = name.split("+")
        assert (variants / variant).is_file(), variant  # eSpeak says nothing when there is none
        assert [len(part) for part in sentences[language[:2]]] == [8, 8, 8]


def test_voices_differ(demo):
    """Even mean spectra tell these voices apart better than chance."""
    speakers, spectra = [], []
    utt2spk = read_table(demo / "utt2spk")
    for utterance, samples in DataAudio(demo, 16000).read():
        power = np.abs(np.fft.rfft(samples[:48000].reshape(-1, 400), axis=1)) ** 2
        spectra.append(np.log(power.mean(axis=0)))
        speakers.append(utt2spk[utterance])
    same = [a == b for i, a in enumerate(speakers) for b in speakers[i + 1 :]]
    distances = pdist(np.array(spectra))
    assert np.median(distances[same]) < np.median(distances[~np.array(same)])
