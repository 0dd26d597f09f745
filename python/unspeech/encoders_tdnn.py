"""Time-delay encoders: convolutions over time, then statistics over the frames of a window.

What comes before the statistics depends on a frame's neighbourhood only, so it runs once over an
utterance and windows are pooled from its output: windows that overlap cost next to nothing.
"""

import keras
import tensorflow as tf
from keras import layers

from unspeech.config import Config

TDNN_LAYERS = ((5, 1), (3, 1), (3, 2), (3, 3))  # width and dilation of each convolution
ECAPA_DILATIONS = (1, 1, 2)  # of the blocks
ECAPA_PARTS = 4  # of a block's channels; the first is passed on, the others are convolved


class PooledEncoder(keras.Model):
    """A frame-level network and a pooling of its outputs.

    Attributes:
        stride: frames from one output to the next.
        outputs: how many a window has.
        channels: of an output.

    Args:
        frame_level: (windows, frames, dim) to (windows, outputs, channels), without padding.
        pooling: (windows, outputs, channels) to (windows, features).
        frames: of a window.
        stride: see above.
    """

    def __init__(
        self, frame_level: keras.Model, pooling: layers.Layer, frames: int, stride: int
    ) -> None:
        super().__init__()
        self.frame_level, self.pooling, self.stride = frame_level, pooling, stride
        shape = (1, frames, frame_level.input_shape[-1])
        _, self.outputs, self.channels = frame_level.compute_output_shape(shape)
        self.built = True  # the pooling has no weights

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.pooling(self.frame_level(windows, training=training))


def tdnn(frames: int, dim: int, config: Config) -> PooledEncoder:
    """Convolutions that see 29 frames in all; mean and deviation over time.

    Source: Snyder et al. 2018, X-Vectors, its frame-level layers, narrower and with a stride.
    """
    window = keras.Input((None, dim))
    x = window
    for i, (width, dilation) in enumerate(TDNN_LAYERS):
        stride = config.time_stride if i == 0 else 1
        x = _convolution(x, config.tdnn_channels, f"tdnn_{i}", width, dilation, stride)
    x = _convolution(x, config.pooled_channels, "tdnn_last")
    return PooledEncoder(
        keras.Model(window, x), Statistics(dtype="float32"), frames, config.time_stride
    )


def ecapa(frames: int, dim: int, config: Config) -> PooledEncoder:
    """Res2 blocks, the outputs of all side by side, attentive statistics over time.

    Source: Desplanques et al. 2020, ECAPA-TDNN. Its squeeze-excitation and the global part of its
    attention are left out: they make a frame's output depend on the whole window.
    """
    window = keras.Input((None, dim))
    x = _convolution(window, config.tdnn_channels, "first", 5, stride=config.time_stride)
    blocks = []
    for i, dilation in enumerate(ECAPA_DILATIONS):
        x = _res2_block(x, f"block_{i}", dilation)
        margin = (ECAPA_PARTS - 1) * dilation  # frames that the block takes off at either end
        blocks = [layers.Cropping1D(margin)(block) for block in blocks] + [x]
    x = _convolution(layers.Concatenate()(blocks), config.pooled_channels, "aggregated")
    hidden = layers.Conv1D(config.pooled_channels // 8, 1, activation="tanh", name="attention")(x)
    scores = layers.Conv1D(config.pooled_channels, 1, name="attention_scores")(hidden)
    x = layers.Concatenate()([x, scores])
    return PooledEncoder(
        keras.Model(window, x), AttentiveStatistics(dtype="float32"), frames, config.time_stride
    )


def _convolution(x, channels: int, name: str, width: int = 1, dilation: int = 1, stride: int = 1):
    """Convolution over time without padding; ReLU; each frame scaled to unit variance."""
    x = layers.Conv1D(
        channels,
        width,
        strides=stride,
        dilation_rate=dilation,
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )(x)
    return layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm")(x)


def _res2_block(x, name: str, dilation: int):
    """Convolves each part of the channels together with what came out of the part before."""
    first, *others = layers.Lambda(lambda y: tf.split(y, ECAPA_PARTS, axis=-1))(x)
    parts = [first]
    for i, part in enumerate(others):
        part = layers.Cropping1D(i * dilation)(part)
        part = part if i == 0 else part + parts[-1]
        done = [layers.Cropping1D(dilation)(other) for other in parts]
        parts = [*done, _convolution(part, part.shape[-1], f"{name}_{i}", 3, dilation)]
    mixed = _convolution(layers.Concatenate()(parts), x.shape[-1], f"{name}_mixed")
    return layers.Cropping1D((ECAPA_PARTS - 1) * dilation)(x) + mixed


class Statistics(layers.Layer):
    """Mean and standard deviation over time.

    (windows, outputs, channels) to (windows, 2 * channels).
    """

    def call(self, frames: tf.Tensor) -> tf.Tensor:
        return _moments(frames, 1.0 / tf.cast(tf.shape(frames)[1], frames.dtype))


class AttentiveStatistics(layers.Layer):
    """As `Statistics`, weighted by a softmax over time of the second half of the channels."""

    def call(self, frames: tf.Tensor) -> tf.Tensor:
        values, scores = tf.split(frames, 2, axis=-1)
        return _moments(values, tf.nn.softmax(scores, axis=1))


def _moments(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    mean = tf.reduce_sum(weights * values, axis=1)
    variance = tf.reduce_sum(weights * tf.square(values - mean[:, None]), axis=1)
    return tf.concat([mean, tf.sqrt(tf.maximum(variance, 1e-4))], axis=-1)
