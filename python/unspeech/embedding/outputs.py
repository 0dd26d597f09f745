"""What extraction leaves beside its archives, for Kaldi and for the Zero Resource Challenge."""

from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.embedding.rows import RowOptions, rows_id
from unspeech.files.atomic import atomic_write
from unspeech.files.text import utterance_file
from unspeech.network.config import Config


def write_zerospeech(
    directory: Path, utterance: str, rows: np.ndarray, options: RowOptions, config: Config
) -> None:
    """Write `<utterance>.fea`: a line a row, the time of its window's middle in seconds first.

    Raises:
        UnspeechError: when the utterance's name cannot be that of a file.
    Source: the feature format of the Zero Resource Speech Challenge 2017.
    """
    frames = np.arange(len(rows)) * options.genfeat_stride
    length = config.window_length
    if options.causal:
        begins, ends = np.maximum(frames + 1 - length, 0), frames + 1
    else:
        begins, ends = frames, frames + length
    if not np.isfinite(rows).all():
        raise UnspeechError(f"{directory}: utterance '{utterance}': NaN or infinite rows")
    with atomic_write(utterance_file(directory, utterance, ".fea")) as file:
        times = (begins + ends) / 2 / config.input_rate
        np.savetxt(file, np.column_stack([times, rows]), fmt="%.7g")


def write_directory_files(directory: Path, model: str, options: RowOptions, period: int) -> None:
    """Write what makes a directory of matrices one of Kaldi's i-vectors, beside its archives."""
    with atomic_write(directory / "ivector_period") as file:
        file.write(f"{period}\n")
    with atomic_write(directory / "final.ie.id") as file:
        file.write(rows_id(model, options))
