"""Settings of models that train in seconds, and how the steps make them."""

from dataclasses import fields
from pathlib import Path

import numpy as np

from helpers.programs import call
from unspeech.network.config_files import make_config
from unspeech.network.model import UnspeechModel
from unspeech.network.solved_head import SolvedHead

TINY = {  # a network
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
STATISTICS = {  # without a network
    "embedding_transformation": "Statistics",
    "pooling": "mean,deviation,difference,correlation",
    "correlation_channels": 6,
    "window_length": 30,
    "window_neg_length": 30,
    "solve_head": "true",
    "embedding_size": 0,
}
RUN_SETTINGS = TINY | {"normalize_input": True, "embedding_transformation": "BaselineDnn"}
RUN_SETTINGS |= {"num_steps": 10}


def tiny_options(**other) -> list[str]:
    return [word for name, value in (TINY | other).items() for word in (f"--{name}", str(value))]


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


def same_heads(one: SolvedHead, other: SolvedHead, besides: tuple = ()) -> None:
    for field in fields(SolvedHead):
        if field.name not in besides:
            values = getattr(one, field.name), getattr(other, field.name)
            np.testing.assert_array_equal(*values, err_msg=field.name)


def pooled_model(**values):
    return UnspeechModel(make_config(TINY | {
        "embedding_transformation": "TDNN", "tdnn_channels": 8, "pooled_channels": 8,
        "left_contexts": 0, "right_contexts": 1, "fc_size": 0, "unit_normalize": True,
        "window_length": 40, "window_neg_length": 40,
    } | values, "test"))  # fmt: skip
