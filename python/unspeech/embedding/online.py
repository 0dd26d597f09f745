"""Causal rows while the speech is going on."""

from collections.abc import Callable

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.embedding.embedder import Embedder
from unspeech.embedding.rows import RowOptions, RunningMean, remembered_rows
from unspeech.network.model import UnspeechModel


class OnlineEmbedder:
    """Makes the rows of an utterance that is still going on: those of offline causal extraction.

        online = OnlineEmbedder(load_model("exp/model"), RowOptions(causal=True))
        for frames in microphone:
            for row in online.accept(frames):
                ...
        online.flush()

    A row is there as soon as its frame is: the delay is the time that it takes to embed a window.

    Attributes:
        dim: of a row.

    Args:
        model: a trained model.
        options: what the rows are made of; `causal`.
        scale: what is done to embeddings, see `load_scale`.
        pooled: whether that is a solved head, see `Embedder`.
    Raises:
        UnspeechError: when the options do not fit the model, or such rows cannot be made online.
    """

    def __init__(
        self,
        model: UnspeechModel,
        options: RowOptions,
        scale: Callable[[np.ndarray], np.ndarray] | None = None,
        pooled: bool = False,
    ) -> None:
        if not options.causal or options.generate_fbank_segmentation:
            raise UnspeechError("online rows are causal, and without generate_fbank_segmentation")
        self._embedder = Embedder(model, options, scale, batch=1, pooled=pooled)
        self._running = options.average == "running"
        self._remembered = remembered_rows(options, model.config.input_rate)
        self._start = np.zeros((0, model.config.input_size), np.float32)
        self._known: dict[str, RunningMean] = {}
        self.new_speaker()
        self.dim = self._row(np.zeros((1, model.config.input_size), np.float32)).shape[1]
        self.new_speaker()  # that row, whose making has compiled the network, does not count

    def new_speaker(self, name: str | None = None) -> None:
        """Say that another speaker is next: a running mean begins anew, or one by name goes on."""
        self._mean = self._known.get(name) or RunningMean(self._remembered)
        if name is not None:
            self._known[name] = self._mean
        self.flush()

    def flush(self) -> None:
        """Say that the utterance has ended; no row is left to come."""
        self._mean.end_utterance()
        self._recent = self._start  # the frames before the next one, as many as a window needs
        self._seen = 0
        self._next = 0  # frame of the next row

    def accept(self, frames: np.ndarray) -> np.ndarray:
        """Take the next frames of the utterance, however many.

        Args:
            frames: (frames, input_size) float32.
        Returns:
            (rows, dim) float32: the rows of these frames, often none.
        """
        length = self._embedder.window_length
        frames = np.concatenate([self._recent, frames])
        first = self._seen - len(self._recent)
        self._seen = first + len(frames)
        rows = [np.zeros((0, self.dim), np.float32)]
        while self._next < self._seen:
            end = self._next + 1 - first
            rows.append(self._row(frames[max(0, end - length) : end]))
            self._next += self._embedder.stride
        self._recent = frames[max(0, len(frames) - length + 1) :]
        return np.concatenate(rows)

    def _row(self, window: np.ndarray) -> np.ndarray:
        embedded = self._embedder.windows.embed(self._embedder.fill(window), np.zeros(1, int))
        row = self._embedder.finish(window[-1:], embedded)
        return self._mean.add(row) if self._running else row
