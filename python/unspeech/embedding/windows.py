"""Embeddings of windows: the one place where a trained network meets frames to embed."""

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.kaldi.corpus import pad_windows
from unspeech.network.backend import tf
from unspeech.network.encoders.tdnn import PooledEncoder
from unspeech.network.model import UnspeechModel

WINDOWS_A_BATCH = 256  # at most; one compiled shape for all input
PIECE_FRAMES = 20_000  # that a frame-level network takes at a time
VALUES_A_BATCH = 1 << 21  # of the windows' features, so that a batch of long ones fits in memory


class WindowEmbedder:
    """Embeds windows of `window_length` frames with one head of a model, or with both.

    Attributes:
        width: columns of what `embed` returns: the target head's embedding, then the context
            head's.
        alignment: starts that are multiples of it are embedded the fastest.

    Args:
        model: a trained model.
        both_heads: whether to embed with the context head, too.
        batch: windows that are computed together; None for many.
        pooled: whether to give, in place of embeddings, what a solved head is applied to.
    """

    def __init__(
        self,
        model: UnspeechModel,
        both_heads: bool,
        batch: int | None = None,
        pooled: bool = False,  # the same: without pooling, the solved head comes after the other
    ) -> None:
        config = model.config
        heads = [model.embed_targets] + [model.embed_contexts] * both_heads
        self.width, self.alignment = config.embedding_size * len(heads), 1
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


class PooledWindowEmbedder:
    """As `WindowEmbedder`, for encoders that pool: the frame-level part runs once over all frames.

    A row then costs its pooling and the layers after it, however far windows overlap.
    """

    def __init__(
        self,
        model: UnspeechModel,
        both_heads: bool,
        batch: int | None = None,
        pooled: bool = False,
    ) -> None:
        config, encoder = model.config, model.target_encoder
        heads = [model.embed_target_outputs] + [model.embed_context_outputs] * both_heads
        self.width, self.alignment = config.embedding_size * len(heads), encoder.stride
        if pooled:
            heads, self.width = [encoder.pooling], encoder.width
        self._batch = batch or WINDOWS_A_BATCH
        self._window_length = config.window_length
        self._offsets = np.arange(encoder.outputs)
        self._frame_outputs = tf.function(
            lambda frames: model.frame_outputs(frames[None])[0],
            input_signature=[tf.TensorSpec([None, config.input_size], tf.float32)],
        )

        def pool(outputs, places):
            windows = tf.gather(outputs, places)
            return tf.concat([head(windows) for head in heads], axis=1)

        self._pool = tf.function(
            pool,
            input_signature=[
                tf.TensorSpec([None, encoder.channels], tf.float32),
                tf.TensorSpec([self._batch, encoder.outputs], tf.int32),
            ],
        )

    def embed(self, frames: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """See `WindowEmbedder.embed`."""
        embedded = np.empty((len(starts), self.width), np.float32)
        phases = starts % self.alignment
        for phase in np.unique(phases):
            rows = np.flatnonzero(phases == phase)
            outputs = self.outputs(frames[phase:])
            places = starts[rows] // self.alignment
            for first in range(0, len(rows), self._batch):
                own = places[first : first + self._batch]
                padded = np.resize(own, self._batch)[:, None] + self._offsets
                pooled = self._pool(outputs, padded.astype(np.int32))
                embedded[rows[first : first + len(own)]] = pooled[: len(own)]
        return embedded

    def outputs(self, frames: np.ndarray) -> tf.Tensor:
        """(outputs, channels) of the frame-level network, computed in pieces to bound memory."""
        seen = self._window_length - (len(self._offsets) - 1) * self.alignment
        piece = PIECE_FRAMES // self.alignment * self.alignment
        outputs = [
            self._frame_outputs(frames[first : first + piece + seen - self.alignment])
            for first in range(0, len(frames) - seen + 1, piece)
        ]
        return tf.concat(outputs, axis=0)


class UtterancePooler:
    """Pools the outputs of a frame-level network over whole utterances, for a solved head.

    Attributes:
        width: of what is pooled.

    Args:
        model: a trained model whose encoder pools.
    """

    def __init__(self, model: UnspeechModel) -> None:
        self._windows = PooledWindowEmbedder(model, both_heads=False, pooled=True)
        encoder = model.target_encoder
        self.width, self._length = encoder.width, encoder.outputs
        self._pool = tf.function(
            encoder.pooling,
            input_signature=[tf.TensorSpec([None, None, encoder.channels], tf.float32)],
        )

    def pool(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pool an utterance.

        Args:
            features: (frames, input_size) float32, a window at least.
        Returns:
            (width,) float64 of all outputs together, of more than `PIECE_FRAMES` the mean over
            pieces of so many; and (windows, width) float64 of windows side by side, or, of an
            utterance shorter than two, of its first and its last window, which overlap.
        """
        outputs = self._windows.outputs(features)
        count, length = len(outputs), self._length
        pieces = np.array_split(np.arange(count), -(-count // PIECE_FRAMES))
        pooled = [self._pool(outputs[None, own[0] : own[-1] + 1])[0] for own in pieces]
        values = np.average(pooled, axis=0, weights=[len(own) for own in pieces])
        starts = np.arange(0, count - length + 1, length)
        if len(starts) == 1 and count > length:
            starts = np.array([0, count - length])
        batches = np.array_split(starts, -(-len(starts) // WINDOWS_A_BATCH))
        windows = [
            self._pool(tf.gather(outputs, own[:, None] + np.arange(length))) for own in batches
        ]
        return values.astype(np.float64), np.concatenate(windows).astype(np.float64)


def window_embedder(
    model: UnspeechModel, both_heads: bool, batch: int | None = None, pooled: bool = False
) -> WindowEmbedder | PooledWindowEmbedder:
    """What embeds windows the fastest with this model; arguments as of `WindowEmbedder`.

    Raises:
        UnspeechError: when the two heads take windows of different lengths.
    """
    config = model.config
    if both_heads and config.window_length != config.window_neg_length:
        raise UnspeechError("both heads embed the same windows only if these are equally long")
    pooling = isinstance(model.target_encoder, PooledEncoder) and (
        not both_heads or model.context_encoder is model.target_encoder
    )
    kind = PooledWindowEmbedder if pooling else WindowEmbedder
    return kind(model, both_heads, batch, pooled)


class UnitEmbedder:
    """Embeds windows of any length with the target head of a model that takes them.

    Raises:
        UnspeechError: when the model does not.
    """

    def __init__(self, model: UnspeechModel) -> None:
        config = model.config
        if not config.dynamic:
            raise UnspeechError(
                "units have any length, which a model of embedding_transformation "
                f"{config.embedding_transformation} does not take; use a Dynamic_ one"
            )
        self._embed = tf.function(
            model.embed_targets,
            input_signature=[
                tf.TensorSpec([None, None, config.input_size], tf.float32),
                tf.TensorSpec([None], tf.int32),
            ],
        )

    def embed(self, windows: list[np.ndarray]) -> np.ndarray:
        """(frames, dim) float32 each, of different lengths, to (windows, embedding) float32."""
        return self._embed(*pad_windows(windows)).numpy()


def join_frames(utterances: list[np.ndarray], alignment: int) -> tuple[np.ndarray, np.ndarray]:
    """Put utterances one after the other, each beginning at a multiple of `alignment`.

    Args:
        utterances: (frames, dim) each.
    Returns:
        (all frames, dim) and (utterances,) first frame of each.
    """
    lengths = np.array([-(-len(frames) // alignment) * alignment for frames in utterances])
    begins = np.cumsum(lengths) - lengths
    joined = np.zeros((lengths.sum(), utterances[0].shape[1]), np.float32)
    for begin, frames in zip(begins, utterances, strict=True):
        joined[begin : begin + len(frames)] = frames
    return joined, begins
