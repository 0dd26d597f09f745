"""What several tests share: made-up features, a tiny trained model, programs as users call them."""

import fcntl
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import kaldiio
import numpy as np
import pytest

from unspeech.cli.errors import run_program
from unspeech.kaldi.tables import invert, write_table

ROOT = Path(__file__).resolve().parent.parent
TINY = {  # settings of a model that trains in seconds
    "embedding_transformation": "BaselineDnn",
    "window_length": 16,
    "window_neg_length": 16,
    "fc_size": 16,
    "embedding_size": 8,
    "batch_size": 8,
    "normalize_input": "true",
    "learn_rate": 0.001,
    "num_steps": 30,
    "steps_per_checkpoint": 5,
}


STATISTICS = {  # settings of a model without a network
    "embedding_transformation": "Statistics",
    "pooling": "mean,deviation,difference,correlation",
    "correlation_channels": 6,
    "window_length": 30,
    "window_neg_length": 30,
    "solve_head": "true",
    "embedding_size": 0,
}

STATISTICS_WINDOWS = 512  # from which a model's mean embedding is taken at the end of training

# Modules that take longest, so that no worker is left alone with one of them at the end.
LONGEST = ["test_recipe", "test_encoders", "test_import_tf1", "test_run", "test_train"]


def pytest_addoption(parser) -> None:
    parser.addoption("--all", action="store_true", help="run tests that take long, too")


def pytest_collection_modifyitems(config, items) -> None:
    """Put the longest modules first; leave out what takes long, unless it is asked for."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.module.__name__, len(rank)))
    if config.getoption("--all"):
        return
    takes_long = [item for item in items if item.get_closest_marker("takes_long")]
    items[:] = [item for item in items if item not in takes_long]
    config.hook.pytest_deselected(items=takes_long)


def tiny_options(**other) -> list[str]:
    return [word for name, value in (TINY | other).items() for word in (f"--{name}", str(value))]


def call(program: str, *options, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run a program of the library in this process, as `python3 -m unspeech.<program>` would."""
    main = importlib.import_module(f"unspeech.{program}").main
    if program == "row_statistics" or (program == "train" and "Statistics" not in options):
        # They would take longer than training.
        importlib.import_module("unspeech.embedding.row_statistics").WINDOWS = STATISTICS_WINDOWS
    argv, sys.argv = sys.argv, [program, *map(str, options)]
    before = Path.cwd()
    try:
        os.chdir(cwd or before)
        run_program(main)
    finally:
        sys.argv = argv
        os.chdir(before)


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


def call_fails(program: str, *options) -> str:
    """Run a program that must end with exit status 1; returns its message."""
    with pytest.raises(SystemExit) as stop:
        call(program, *options)
    assert isinstance(stop.value.code, str), f"exit code {stop.value.code} without a message"
    return stop.value.code


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


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    return made_once(tmp_path_factory, "tiny_data", lambda data: write_features(data, voices()))


@pytest.fixture(scope="session")
def tiny_model(tiny_data, tmp_path_factory) -> Path:
    def train(model: Path) -> None:
        call("train", "--data", tiny_data, "--dir", model, *tiny_options())

    return made_once(tmp_path_factory, "tiny_model", train)


def solve(data: Path, model: Path, *options) -> None:
    """Solve the head of a model as the steps do, in one job."""
    feats, work = data / "feats.scp", model.with_name(f"{model.name}.contexts")
    work.mkdir(exist_ok=True)
    call("solve", "contexts", "--feats", feats, "--data", data, "--out", work / "contexts")
    pooled = ["--values", work / "values.ark", "--sums", work / "sums.npz"]
    inputs = ["--feats", feats, "--data", data, "--contexts", work / "contexts"]
    call("solve", "sums", "--model", model, *inputs, *pooled)
    call("solve", "head", "--model", model, "--sums", work / "sums.npz", *options)


def train_statistics(data: Path, model: Path, **other) -> Path:
    """Train a model without a network as train.sh does."""
    settings = STATISTICS | other
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    call("train", "--data", data, "--dir", model, *words)
    solve(data, model)
    return model


@pytest.fixture(scope="session")
def many_data(tmp_path_factory) -> Path:
    """As many utterances as it takes to know all covariances of a model without a network."""
    features = voices(speakers=20, utterances=12)
    return made_once(tmp_path_factory, "many_data", lambda data: write_features(data, features))


@pytest.fixture(scope="session")
def statistics_model(many_data, tmp_path_factory) -> Path:
    return made_once(
        tmp_path_factory, "statistics_model", lambda model: train_statistics(many_data, model)
    )


@pytest.fixture(scope="session")
def kaldi() -> Path:
    """A Kaldi checkout, whose scripts need not be compiled; tests without one are skipped."""
    root = Path(os.environ.get("KALDI_ROOT") or "/nonexistent")
    if not (root / "egs/wsj/s5/utils").is_dir():
        pytest.skip("KALDI_ROOT names no Kaldi checkout")
    return root
