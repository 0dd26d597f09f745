"""Embeddings of windows: the one place where a trained network meets frames to embed."""

import numpy as np
import tensorflow as tf

from unspeech.errors import UnspeechError
from unspeech.model import UnspeechModel

WINDOWS_A_BATCH = 256  # at most; one compiled shape for all input
VALUES_A_BATCH = 1 << 21  # of the windows' features, so that a batch of long ones fits in memory


class WindowEmbedder:
    """Embeds windows of `window_length` frames with one head of a model, or with both.

    An encoder that reads a whole utterance in one pass can take another way than cutting the
    windows out, if it has the same `embed`.

    Attributes:
        width: columns of what `embed` returns: the target head's embedding, then the context
            head's.

    Args:
        model: a trained model.
        both_heads: whether to embed with the context head, too.
        batch: windows that are computed together; None for many.
    Raises:
        UnspeechError: when the two heads take windows of different lengths.
    """

    def __init__(self, model: UnspeechModel, both_heads: bool, batch: int | None = None) -> None:
        config = model.config
        if both_heads and config.window_length != config.window_neg_length:
            raise UnspeechError("both heads embed the same windows only if these are equally long")
        heads = [model.embed_targets] + [model.embed_contexts] * both_heads
        self.width = config.embedding_size * len(heads)
        # The learnt filters give `num_filters` values for every 4 samples.
        values = config.num_filters / 4 if config.end_to_end else config.feat_size
        fitting = int(VALUES_A_BATCH / (config.window_length * values))
        self._batch = batch or min(WINDOWS_A_BATCH, max(1, fitting))
        self._offsets = np.arange(config.window_length)
        shape = [self._batch, config.window_length, config.input_size]
        self._embed = tf.function(
            lambda windows: tf.concat([head(windows) for head in heads], axis=1),
            input_signature=[tf.TensorSpec(shape, tf.float32)],
        )

    def embed(self, frames: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Embed the windows that begin at some frames; each depends on its own frames only.

        Args:
            frames: (frames, input_size) float32, those of many utterances one after the other.
            starts: (windows,) first frame of each window.
        Returns:
            (windows, width) float32.
        """
        embedded = np.empty((len(starts), self.width), np.float32)
        for first in range(0, len(starts), self._batch):
            own = starts[first : first + self._batch]
            padded = np.resize(own, self._batch)
            windows = frames[padded[:, None] + self._offsets]
            embedded[first : first + len(own)] = self._embed(windows)[: len(own)]
        return embedded
