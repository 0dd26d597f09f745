"""Whose a model directory is: one training's, with its settings and data."""

import dataclasses
import hashlib
from pathlib import Path

from unspeech.cli.errors import UnspeechError
from unspeech.files.settings import read_yaml, write_yaml
from unspeech.kaldi.corpus import Corpus
from unspeech.network.config import Config
from unspeech.network.config_files import make_config, write_config

REPEATABLE = {"num_steps", "steps_per_checkpoint"}  # may differ when a run goes on


def claim_directory(directory: Path, config: Config, trained_on: dict) -> bool:
    """Make the model directory this run's, or recognise it as such.

    Returns: whether its training is already complete.
    Raises:
        UnspeechError: when it belongs to a run with other settings or other data.
    """
    path, data_path = directory / "config.yaml", directory / "trained_on.yaml"
    if path.exists() and data_path.exists():
        old = dataclasses.asdict(make_config(read_yaml(path), path))
        new = dataclasses.asdict(config)
        differing = [
            f"{name} was {old[name]}, is {new[name]}"
            for name in new
            if name not in REPEATABLE and old[name] != new[name]
        ]
        if read_yaml(data_path).get("md5") != trained_on["md5"]:
            differing.append("the training utterances differ")
        if differing:
            raise UnspeechError(
                f"{directory} holds another run's model ({'; '.join(differing)}); "
                "give another directory, or remove this one"
            )
        if (directory / "final.ie.id").exists():
            if old["num_steps"] == config.num_steps:
                return True
            (directory / "final.ie.id").unlink(missing_ok=True)  # another worker may have done it
    write_config(path, config)
    write_yaml(data_path, trained_on)
    return False


def describe_data(corpus: Corpus, data: str) -> dict:
    """What a model was trained on, to recognise it again."""
    digest = hashlib.md5("\n".join(corpus.utterances).encode(), usedforsecurity=False)
    digest.update(corpus.lengths.tobytes())
    return {
        "data": data,
        "utterances": len(corpus.utterances),
        "frames": int(corpus.lengths.sum()),
        "md5": digest.hexdigest(),
    }
