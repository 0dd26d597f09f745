"""Whose a model directory is: one training's, with its settings and data."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.files.settings import read_yaml, write_yaml
from unspeech.kaldi.corpus import Corpus
from unspeech.network.config import Config
from unspeech.network.config_files import make_config, write_config
from unspeech.training.reports import report_of

LOOKED_AT = 50  # utterances whose features are compared with those of before
REPEATABLE = {"num_steps", "steps_per_checkpoint"}  # may differ when a run goes on


def claim_directory(
    directory: Path, config: Config, trained_on: dict, max_minutes: float | None = None
) -> bool:
    """Make the model directory this run's, or recognise it as such.

    Args:
        directory: of the model.
        config: settings.
        trained_on: of `describe_data`.
        max_minutes: upper bound of the time that training takes; None: there is none.
    Returns: whether its training is already complete.
    Raises:
        UnspeechError: when it belongs to a run with other settings or other data, or to a longer
            one.
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
        before = read_yaml(data_path)
        if before.get("md5") != trained_on["md5"]:
            differing.append("the training utterances differ")
        for name, said in (
            ("features", "their features differ"),
            ("groupings", "their recordings, speakers, units or initial model differ"),
        ):
            now = trained_on.get(name)
            if before.get(name, now) != now:  # older models lack it
                differing.append(said)
        if differing:
            raise UnspeechError(
                f"{directory} holds another run's model ({'; '.join(differing)}); "
                "give another directory, or remove this one"
            )
        steps, minutes = _trained(directory)
        if config.has_network and steps > config.num_steps:
            raise UnspeechError(
                f"{directory} is trained to {steps} steps already, more than num_steps "
                f"{config.num_steps}; give another directory, or remove this one"
            )
        if (directory / "final.ie.id").exists():
            long_enough = max_minutes is not None and minutes >= max_minutes
            if not config.has_network or steps == config.num_steps or long_enough:
                return True
            (directory / "final.ie.id").unlink(missing_ok=True)  # another worker may have done it
    write_config(path, config)
    write_yaml(data_path, trained_on)
    return False


def _trained(directory: Path) -> tuple[int, float]:
    """Steps and minutes that a model directory's training has taken so far, by its log."""
    path = directory / "train_log.jsonl"
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    last = [report for report in map(report_of, lines) if report][-1:]
    return (int(last[0]["step"]), float(last[0]["seconds"]) / 60) if last else (0, 0.0)


def describe_data(
    corpus: Corpus, data: str, recordings: list[str], groupings: tuple, config: Config
) -> dict:
    """What a model was trained on, to recognise it again.

    Args:
        corpus: features.
        data: where they come from.
        recordings: the recording of each utterance.
        groupings: of `groupings.groupings_of`.
        config: settings.
    """
    digest = hashlib.md5("\n".join(corpus.utterances).encode(), usedforsecurity=False)
    digest.update(corpus.lengths.tobytes())
    initial = Path(config.initial_model) / "final.ie.id"
    shared = [recordings, *groupings, initial.read_text() if initial.is_file() else ""]
    known = {
        "data": data,
        "utterances": len(corpus.utterances),
        "frames": int(corpus.lengths.sum()),
        "md5": digest.hexdigest(),
        "groupings": hashlib.md5(repr(shared).encode(), usedforsecurity=False).hexdigest(),
    }
    if config.has_network:  # wherever they lie, and in whatever form
        some = hashlib.md5(usedforsecurity=False)
        for i in np.unique(np.linspace(0, len(corpus.lengths) - 1, LOOKED_AT).astype(int)):
            some.update(corpus.features(i).tobytes())
        known["features"] = some.hexdigest()
    return known
