"""Made-up sounds in data directories, and their features by the program."""

from pathlib import Path

import numpy as np

from helpers.data import RATE
from unspeech.kaldi.tables import write_table


def sound(seconds: float = 1.0, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """(samples,) float32, a glide over noise: every mel band has energy, no two frames alike."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (0.4 * np.sin(2 * np.pi * (200 + 900 * time) * time) + 0.03 * noise).astype(np.float32)


def data_dir(path: Path, **entries) -> Path:
    path.mkdir(exist_ok=True)
    write_table(path / "wav.scp", entries)
    return path


def fbank_options(data: Path, out: Path, config: str = "--dither=0", **other) -> list:
    """Options of the program; `config` becomes its configuration file."""
    out.mkdir(exist_ok=True)
    (out / "fbank.conf").write_text(config.replace(" ", "\n") + "\n")
    files = {
        "ark": "fbank.ark",
        "scp": "fbank.scp",
        "num-frames": "frames",
        "durations": "durations",
        "failed": "failed",
    }
    options = {"data": data, "config": out / "fbank.conf"}
    options |= {name: out / file for name, file in files.items()}
    options |= {name.replace("_", "-"): value for name, value in other.items()}
    return [word for name, value in options.items() for word in (f"--{name}", value)]
