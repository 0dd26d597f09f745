"""Embed utterances with a trained model: rows over time, or one vector an utterance.

python3 -m unspeech.embed ivectors --feats data/dev/feats.scp --model exp/model --ark iv.1.ark
python3 -m unspeech.embed utterances --feats data/dev/feats.scp --model exp/model --ark e.1.ark
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from unspeech.archives import ArkWriter, iterate_arrays
from unspeech.errors import UnspeechError, run_program
from unspeech.features import check_features
from unspeech.model import UnspeechModel, load_model

WINDOWS_A_BATCH = 256  # one compiled shape for all input
FRAMES_A_CHUNK = 100_000  # about 16 minutes of speech, 16 MB of features


class Embedder:
    """Embeds many utterances at once with the target head of a trained model.

    Windows begin every `period` frames and share batches across utterances. An utterance shorter
    than a window is repeated until it fills one.

    Args:
        model: a trained model.
        period: frames from one row to the next.
    """

    def __init__(self, model: UnspeechModel, period: int) -> None:
        if period < 1:
            raise UnspeechError(f"period must be at least 1 frame, not {period}")
        self.period = period
        self.window_length = model.config.window_length
        self.feat_size = model.config.feat_size
        self.embedding_size = model.config.embedding_size
        self._embed = tf.function(
            model.embed_targets,
            input_signature=[
                tf.TensorSpec([WINDOWS_A_BATCH, self.window_length, self.feat_size], tf.float32)
            ],
        )

    def rows(
        self, utterances: Iterable[tuple[str, np.ndarray]]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Embed (name, features) pairs, each features (frames, feat_size) float32.

        Yields:
            (name, (ceil(frames / period), embedding) float32), in order. Row t is the window
            that begins at frame t * period; once that would run over the end, the last row that
            fits is repeated (the original's `genfeat_interpolate_outputlength_padding`).
        """
        chunk: list[tuple[str, np.ndarray]] = []
        frames = 0
        for name, features in utterances:
            chunk.append((name, features))
            frames += len(features)
            if frames >= FRAMES_A_CHUNK:
                yield from self._chunk(chunk)
                chunk, frames = [], 0
        if chunk:
            yield from self._chunk(chunk)

    def _chunk(self, chunk: list[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
        filled = [self._fill(features) for _, features in chunk]
        begins = np.concatenate([[0], np.cumsum([len(f) for f in filled])])
        starts = [
            begin + np.arange(0, len(features) - self.window_length + 1, self.period)
            for begin, features in zip(begins, filled, strict=False)
        ]
        embedded = self._windows(np.concatenate(filled), np.concatenate(starts))
        ends = np.cumsum([len(s) for s in starts])
        for (name, features), own in zip(chunk, np.split(embedded, ends[:-1]), strict=True):
            wanted = -(-len(features) // self.period)
            yield name, own[np.minimum(np.arange(wanted), len(own) - 1)]

    def _fill(self, features: np.ndarray) -> np.ndarray:
        short = self.window_length - len(features)
        return np.pad(features, ((0, short), (0, 0)), mode="wrap") if short > 0 else features

    def _windows(self, frames: np.ndarray, starts: np.ndarray) -> np.ndarray:
        embedded = np.empty((len(starts), self.embedding_size), np.float32)
        offsets = np.arange(self.window_length)
        for first in range(0, len(starts), WINDOWS_A_BATCH):
            own = starts[first : first + WINDOWS_A_BATCH]
            padded = np.resize(own, WINDOWS_A_BATCH)
            windows = frames[padded[:, None] + offsets]
            embedded[first : first + len(own)] = self._embed(windows)[: len(own)]
        return embedded


def utterance_vector(rows: np.ndarray) -> np.ndarray:
    """One vector for an utterance: the mean of its rows, scaled to unit length.

    Args:
        rows: (rows, embedding).
    Returns:
        (embedding,) float32.
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    return (mean / np.linalg.norm(mean)).astype(np.float32)


def checked_features(path: Path, feat_size: int) -> Iterator[tuple[str, np.ndarray]]:
    """Features of each utterance of an scp or ark file, refused if the model cannot take them."""
    for name, features in iterate_arrays(path):
        check_features(name, features, path, feat_size)
        yield name, features


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=["ivectors", "utterances"])
    parser.add_argument("--feats", required=True, type=Path, help="feats.scp, or an .ark file")
    parser.add_argument("--model", required=True, help="model directory")
    parser.add_argument("--period", type=int, default=10, help="frames from row to row (10)")
    parser.add_argument("--ark", required=True, type=Path, help="output; its scp stands beside it")
    options = parser.parse_args()

    model = load_model(options.model)
    embedder = Embedder(model, options.period)
    utterances = checked_features(options.feats, embedder.feat_size)
    progress = tqdm(embedder.rows(utterances), unit="utt", disable=not sys.stderr.isatty())
    with ArkWriter(options.ark) as writer:
        for name, rows in progress:
            writer.write(name, utterance_vector(rows) if options.kind == "utterances" else rows)
    print(f"Embedded {writer.count} utterances, a row every {options.period} frames")


if __name__ == "__main__":
    run_program(main)
