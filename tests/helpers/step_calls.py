"""Calls of steps, and small data directories and vectors for them."""

import subprocess
from pathlib import Path

import numpy as np

from helpers.shell import STEPS, run
from unspeech.audio.decoding import wav_bytes
from unspeech.kaldi.archives import ArkWriter
from unspeech.kaldi.tables import invert, write_table


def step(name: str, *words, cwd: Path, **environment) -> subprocess.CompletedProcess:
    return run(STEPS / f"{name}.sh", *words, cwd=cwd, **environment)


def done(name: str, *words, cwd: Path, **environment) -> str:
    """Call a step that must end well; returns what it printed."""
    result = step(name, *words, cwd=cwd, **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def files_of(place: Path) -> dict[str, bytes]:
    """All files under final names: neither what begins with a dot, nor logs."""
    found = {}
    for path in place.rglob("*"):
        parts = path.relative_to(place).parts
        if path.is_file() and not any(p.startswith(".") or p == "log" for p in parts):
            found["/".join(parts)] = path.read_bytes()
    return found


def write_audio(data: Path, utterances: list[str], seed: int = 0) -> Path:
    """A data directory of noise, a quarter of a second an utterance."""
    rng = np.random.default_rng(seed)
    (data / "audio").mkdir(parents=True, exist_ok=True)
    for number, _ in enumerate(utterances):
        samples = 0.1 * rng.normal(size=4000)
        (data / f"audio/{number}.wav").write_bytes(wav_bytes(samples, 16000))
    wav = {u: f"{data / f'audio/{number}.wav'}" for number, u in enumerate(utterances)}
    write_table(data / "wav.scp", wav)
    utt2spk = {u: u.split("-")[0] for u in utterances}
    write_table(data / "utt2spk", utt2spk)
    write_table(data / "spk2utt", invert(utt2spk))
    return data


def write_vectors(directory: Path, seed: int = 0, archives: int = 1) -> Path:
    """40 vectors of four voices, in one archive or some."""
    rng = np.random.default_rng(seed)
    directory.mkdir(parents=True, exist_ok=True)
    means, lines = 5 * rng.normal(size=(4, 8)), []
    for archive in range(archives):
        with ArkWriter(directory / f"{archive}.ark") as writer:
            for n in range(archive, 40, archives):
                writer.write(f"s{n % 4}-{n:02d}", means[n % 4] + 0.1 * rng.normal(size=8))
        lines += (directory / f"{archive}.scp").read_text().splitlines(keepends=True)
    (directory / "embedding.scp").write_text("".join(sorted(lines)))
    return directory


SLOW = 120  # seconds after which a call counts as waiting for ever


HOSTILE = [
    "a b",
    "a;touch oops",
    "$(touch oops)",
    "`touch oops`",
    "a&b",
    "(a)",
    "a'b",
    'a"b',
    "$HOME",
]
