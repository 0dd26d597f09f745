"""Mean and standard deviation of embeddings of a model's training speech, for `normalize_rows`."""

import sys
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from unspeech.cli.errors import UnspeechError
from unspeech.embedding.rows import STATISTICS
from unspeech.embedding.windows import join_frames, window_embedder
from unspeech.files.atomic import atomic_write
from unspeech.kaldi.corpus import Corpus
from unspeech.network.model import UnspeechModel

WINDOWS = 4096  # so that a mean is within about 2 % of a standard deviation of that of all windows
_BATCH = 256


def write_row_statistics(model: UnspeechModel, corpus: Corpus, directory: str | Path) -> None:
    """Write `row_statistics.yaml` from 4096 windows of a corpus, drawn with the model's seed.

    Raises:
        UnspeechError: when no utterance is as long as a window.
    """
    config = model.config
    length = config.window_length
    utterances, starts = _draw_windows(corpus, length, config.seed)
    both_heads = length == config.window_neg_length
    windows = window_embedder(model, both_heads)
    embedded = np.empty((WINDOWS, windows.width), np.float32)
    for first in tqdm(range(0, WINDOWS, _BATCH), unit="batch", disable=not sys.stderr.isatty()):
        batch = slice(first, first + _BATCH)
        cut = corpus.windows(utterances[batch], starts[batch], length)
        embedded[batch] = windows.embed(*join_frames(list(cut), windows.alignment))
    statistics = {"windows": WINDOWS, "seed": config.seed}
    heads = ("targets", "contexts")[: 1 + both_heads]
    for head, rows in zip(heads, np.split(embedded, len(heads), axis=1), strict=True):
        deviation = rows.std(axis=0, dtype=np.float64)
        statistics[f"{head}_mean"] = rows.mean(axis=0, dtype=np.float64).tolist()
        statistics[f"{head}_deviation"] = np.maximum(deviation, 1e-6).tolist()
    with atomic_write(Path(directory) / STATISTICS) as file:
        yaml.safe_dump(statistics, file, sort_keys=False, default_flow_style=None)


def _draw_windows(corpus: Corpus, length: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(WINDOWS,) utterances and first frames, each window of the corpus as likely as any other."""
    places = np.maximum(corpus.lengths - length + 1, 0)
    ends = np.cumsum(places)
    if ends[-1] == 0:
        raise UnspeechError(f"no utterance has the {length} frames of a window: use more speech")
    drawn = np.sort(np.random.default_rng(seed).integers(ends[-1], size=WINDOWS))
    utterances = np.searchsorted(ends, drawn, side="right")
    return utterances, drawn - (ends - places)[utterances]
