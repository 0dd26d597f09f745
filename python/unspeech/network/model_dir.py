"""Model directories: which files make one complete, its id, and the head in its weights file."""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.files.atomic import atomic_write
from unspeech.files.settings import read_yaml, typed_values
from unspeech.files.text import read_text
from unspeech.network.config import Config
from unspeech.network.config_files import make_config
from unspeech.network.solved_head import SolvedHead

WEIGHTS = "model.weights.h5"
_FILES = ("config.yaml", WEIGHTS, "final.ie.id")
_HEAD = "solved_head"  # group of the weights file


def config_of(directory: Path) -> Config:
    """The settings of a model directory."""
    path = directory / "config.yaml"
    return make_config(read_yaml(path), path)


def check_complete(directory: Path) -> None:
    """Raise UnspeechError unless a directory holds all files of a trained model."""
    for name in _FILES:
        if not (directory / name).is_file():
            raise UnspeechError(
                f"{directory / name}: no such file; train the model first with "
                "steps_unspeech/train.sh (the same command again resumes where it left off)"
            )


def model_id(directory: Path, weights: Iterable[np.ndarray]) -> str:
    """A digest of what `config.yaml` says, of the weights and of the head, if there is one.

    Kaldi compares it between an i-vector directory and a network trained on it. Settings that have
    been added since a model was trained, which its `config.yaml` does not have, leave it as it is.
    Source: Kaldi's `steps/nnet2/check_ivectors_compatible.sh`.
    """
    path = directory / "config.yaml"
    settings = typed_values(read_yaml(path), Config, path)
    said = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    digest = hashlib.md5(f"Config({said})".encode(), usedforsecurity=False)
    for weight in weights:
        digest.update(weight.tobytes())
    head = find_head(directory)
    for array in head.arrays().values() if head else ():
        digest.update(array.tobytes())
    return digest.hexdigest()


def check_id(directory: Path, weights: Iterable[np.ndarray]) -> None:
    """Raise UnspeechError unless `final.ie.id` is that of these settings, weights and head."""
    if read_text(directory / "final.ie.id").strip() != model_id(directory, weights):
        raise UnspeechError(
            f"{directory}: config.yaml, {WEIGHTS} or final.ie.id was changed or damaged "
            "since the model was trained; take all three from a copy, or train it again"
        )


def write_id(directory: Path, weights: Iterable[np.ndarray]) -> str:
    """Write `final.ie.id`, which marks a model as complete; returns the id."""
    made = model_id(directory, weights)
    with atomic_write(directory / "final.ie.id") as file:
        file.write(made + "\n")
    return made


def find_head(directory: Path) -> SolvedHead | None:
    """The solved head of a model, if it has one.

    Raises:
        UnspeechError: when the weights file is damaged.
    """
    path = directory / WEIGHTS
    try:
        with h5py.File(path) as file:
            if _HEAD not in file:
                return None
            return SolvedHead.from_arrays({name: a[()] for name, a in file[_HEAD].items()})
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UnspeechError(f"{path}: damaged ({error}); train the model again") from None


def read_head(directory: Path) -> SolvedHead:
    """The solved head of a model.

    Raises:
        UnspeechError: when it has none.
    """
    head = find_head(directory)
    if head is None:
        raise UnspeechError(
            f"{directory}: its head is not solved yet; run steps_unspeech/train.sh again, which "
            "resumes where it left off"
        )
    return head


def write_head(directory: Path, head: SolvedHead, source: Path | None = None) -> None:
    """Put a head into a model's weights file, in place of the one that may be there.

    Args:
        source: weights file whose other weights are taken along, this directory's by default.
    Raises:
        UnspeechError: when a value of the head is not finite.
    """
    if not all(np.isfinite(array).all() for array in head.arrays().values()):
        raise UnspeechError(f"{directory}: the head has NaN or infinite values; there is no model")
    path = directory / WEIGHTS
    part = path.with_name(f".part.{path.name}")
    source = source or path
    try:
        if source.exists():
            shutil.copyfile(source, part)
        with h5py.File(part, "a") as file:
            if _HEAD in file:
                del file[_HEAD]
            group = file.create_group(_HEAD)
            for name, array in head.arrays().items():
                group[name] = array
        (directory / "final.ie.id").unlink(missing_ok=True)  # it was that of another head
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
