"""Made-up speech and features, in data directories."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import kaldiio
import numpy as np
import soundfile

from unspeech.kaldi.tables import invert, write_table

RATE = 16000  # Hz
LENGTHS = [1, 2, 9, 10, 11, 15, 16, 17, 45]  # around a period of 10 frames and a window of 16


def assert_close(found, expected, operations: int = 200) -> None:
    """Two ways of computing arrays in float32 agree up to rounding.

    How they are rounded depends on the processor, on threads, and on what else is in the batch.
    An operation rounds by up to `eps` of the largest value at most.

    Args:
        operations: how many of them may add up.
    """
    expected = np.asarray(expected)
    tolerance = operations * np.finfo(np.float32).eps * np.abs(expected).max()
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=tolerance)


def write_ark(ark: Path, arrays: dict[str, np.ndarray]) -> Path:
    """An archive of float32 with its scp beside it, whatever the numbers are; returns the scp."""
    ark.parent.mkdir(parents=True, exist_ok=True)
    ark.unlink(missing_ok=True)  # a program may have the old one open
    scp = ark.with_suffix(".scp")
    floats = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    kaldiio.save_ark(str(ark), floats, scp=str(scp))
    return scp


def write_features(data: Path, features: dict[str, np.ndarray]) -> Path:
    """A data directory with feats.scp and, from the names before '-', utt2spk."""
    data.mkdir(parents=True, exist_ok=True)
    write_ark(data / "feats.ark", {name: features[name] for name in sorted(features)})
    utt2spk = {utterance: utterance.split("-")[0] for utterance in features}
    write_table(data / "utt2spk", utt2spk)
    write_table(data / "spk2utt", invert(utt2spk))
    return data


def voices(speakers: int = 6, utterances: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Features of made-up speakers: a spectrum each, and noise over time."""
    rng = np.random.default_rng(seed)
    spectra = 12 + 3 * rng.normal(size=(speakers, 40))
    return {
        f"s{s}-u{u}": (spectra[s] + rng.normal(size=(rng.integers(90, 160), 40))).astype(np.float32)
        for s in range(speakers)
        for u in range(utterances)
    }


def made_once(tmp_path_factory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first of pytest's workers to want it makes, and that all of them read."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, done = base / name, base / f"{name}.done"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return folder


def tone(frequency: float, seconds: float) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)


def write_two_speakers(data: Path, segments: bool) -> Path:
    """Two speakers with a recording each, whole or in two segments; one comes from a pipe."""
    data.mkdir()
    for name, frequency in (("s1-a", 1000), ("s2-b", 2000)):
        soundfile.write(data / f"{name}.wav", tone(frequency, 2), RATE)
    wav = {"s1-a": str(data / "s1-a.wav"), "s2-b": f"cat {data / 's2-b.wav'} |"}
    write_table(data / "wav.scp", wav)
    utterances = list(wav)
    if segments:
        utterances = ["s1-a-1", "s1-a-2", "s2-b-1", "s2-b-2"]
        times = ["0 1.25", "1.5 2", "0.333 1.777", "1.9 1.905"]
        write_table(
            data / "segments",
            {u: f"{u[:4]} {t}" for u, t in zip(utterances, times, strict=True)},
        )
        write_table(data / "reco2dur", dict.fromkeys(wav, "2"))
    write_table(data / "utt2spk", {u: u[:2] for u in utterances})
    write_table(
        data / "spk2utt", {s: " ".join(u for u in utterances if u[:2] == s) for s in ("s1", "s2")}
    )
    write_table(data / "text", {u: f"words of {u}" for u in utterances})
    write_table(data / "utt2dur", dict.fromkeys(utterances, "1.333"))
    write_table(data / "utt2lang", dict.fromkeys(utterances, "en"))
    write_table(data / "spk2gender", {"s1": "f", "s2": "m"})
    return data


def write_corpus(corpus: Path, speakers: int, utterances: int) -> Path:
    """Voices are harmonic tones in noise: a pitch and a tilt each, paths relative to the corpus."""
    rng = np.random.default_rng(0)
    utt2spk = {}
    for s in range(speakers):
        pitch, tilt = 90 * 1.25**s, rng.uniform(0.5, 2)
        for u in range(utterances):
            time_ = np.arange(int(RATE * rng.uniform(1.5, 2.5))) / RATE
            harmonics = np.arange(1, 20)
            waves = np.sin(2 * np.pi * pitch * harmonics[:, None] * time_)
            samples = (harmonics[:, None] ** -tilt * waves).sum(axis=0)
            samples = 0.05 * samples + 0.01 * rng.normal(size=len(time_))
            utt2spk[f"s{s}-u{u}"] = f"s{s}"
            path = corpus / f"audio/s{s}-u{u}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, samples, RATE)
    write_table(corpus / "wav.scp", {u: f"audio/{u}.wav" for u in utt2spk})
    write_table(corpus / "utt2spk", utt2spk)
    return corpus


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(12, 2, size=(frames, 40)).astype(np.float32)
