"""Statistics pooling as layers of a network: what `pooling` does, with gradients."""

import numpy as np

from unspeech.network.backend import layers, tf
from unspeech.network.pooling import (
    CORRELATION_FLOOR,
    STATISTICS,
    VARIANCE_FLOOR,
    cosine_transform,
)


class Statistics(layers.Layer):
    """Pools outputs over time.

    (windows, outputs, channels) to (windows, width), in the order of `pooling.STATISTICS`.

    Args:
        names: some of these.
        correlation_channels: that outputs are projected to for their correlations.
        fixed: whether the projection is the cosine transform; else it is learnt.
    """

    def __init__(self, names: tuple[str, ...], correlation_channels: int, fixed: bool) -> None:
        super().__init__(dtype="float32")
        self._names, self._fixed = names, fixed
        self._correlated = correlation_channels
        left, right = np.triu_indices(correlation_channels, 1)
        self._pairs = left * correlation_channels + right

    def build(self, shape: tuple) -> None:
        if "correlation" in self._names:
            channels = shape[-1]
            if self._fixed:
                self.kernel = cosine_transform(self._correlated, channels).astype(np.float32)
            else:
                self.kernel = self.add_weight(
                    name="kernel",
                    shape=(channels, self._correlated),
                    initializer="glorot_normal",
                )
        self.built = True

    def compute_output_shape(self, shape: tuple) -> tuple:
        width = shape[-1] * sum(name in self._names for name in STATISTICS[:3])
        return shape[0], width + len(self._pairs) * ("correlation" in self._names)

    def call(self, outputs: tf.Tensor) -> tf.Tensor:
        parts = []
        if {"mean", "deviation"} & set(self._names):
            weight = 1.0 / tf.cast(tf.shape(outputs)[1], outputs.dtype)
            mean, deviation = moments(outputs, weight)
            parts += [mean] * ("mean" in self._names) + [deviation] * ("deviation" in self._names)
        if "difference" in self._names:
            changes = outputs[:, 1:] - outputs[:, :-1]
            weight = 1.0 / tf.cast(tf.maximum(tf.shape(changes)[1], 1), outputs.dtype)
            parts.append(moments(changes, weight)[1])
        if "correlation" in self._names:
            parts.append(self._correlations(outputs))
        return tf.concat(parts, axis=-1)

    def _correlations(self, outputs: tf.Tensor) -> tf.Tensor:
        projected = tf.matmul(outputs, self.kernel)
        projected -= tf.reduce_mean(projected, axis=1, keepdims=True)
        count = tf.cast(tf.shape(outputs)[1], outputs.dtype)
        covariance = tf.matmul(projected, projected, transpose_a=True) / count
        scale = tf.math.rsqrt(tf.linalg.diag_part(covariance) + CORRELATION_FLOOR)
        correlations = covariance * scale[:, :, None] * scale[:, None]
        return tf.gather(tf.reshape(correlations, [-1, self._correlated**2]), self._pairs, axis=1)


class AttentiveStatistics(layers.Layer):
    """Mean and standard deviation weighted by a softmax over time; the others as `Statistics`.

    (windows, outputs, 2 * channels), of which the second half are what the softmax takes, to
    (windows, width).

    Args: see `Statistics`.
    """

    def __init__(self, names: tuple[str, ...], correlation_channels: int) -> None:
        super().__init__(dtype="float32")
        self._weighted = [name for name in names if name in ("mean", "deviation")]
        others = tuple(name for name in names if name not in self._weighted)
        self._others = Statistics(others, correlation_channels, fixed=False) if others else None

    def build(self, shape: tuple) -> None:
        if self._others:
            self._others.build(_half(shape))
        self.built = True

    def compute_output_shape(self, shape: tuple) -> tuple:
        width = _half(shape)[-1] * len(self._weighted)
        if self._others:
            width += self._others.compute_output_shape(_half(shape))[-1]
        return shape[0], width

    def call(self, outputs: tf.Tensor) -> tf.Tensor:
        values, scores = tf.split(outputs, 2, axis=-1)
        mean, deviation = moments(values, tf.nn.softmax(scores, axis=1))
        parts = [mean] * ("mean" in self._weighted) + [deviation] * ("deviation" in self._weighted)
        return tf.concat(parts + ([self._others(values)] if self._others else []), axis=-1)


def _half(shape: tuple) -> tuple:
    return *shape[:-1], shape[-1] // 2


class CarriedFeatures(layers.Layer):
    """Puts behind each output the features in the middle of what it was made from.

    (windows, frames, dim) and (windows, outputs, channels) to
    (windows, outputs, channels + stride * dim): each frame once, so that `WithFeatures` has them.

    Args:
        stride: frames from one output to the next.
        seen: frames that an output is made from.
    """

    def __init__(self, stride: int, seen: int) -> None:
        super().__init__(dtype="float32")
        self._stride, self._margin = stride, max(seen - stride, 0) // 2

    def compute_output_shape(self, windows_shape: tuple, outputs_shape: tuple) -> tuple:
        return *outputs_shape[:-1], outputs_shape[-1] + self._stride * windows_shape[-1]

    def call(self, windows: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        count = tf.shape(outputs)[1]
        frames = windows[:, self._margin : self._margin + count * self._stride]
        width = self._stride * windows.shape[-1]
        return tf.concat([outputs, tf.reshape(frames, [-1, count, width])], axis=-1)


class WithFeatures(layers.Layer):
    """Pools outputs that carry features, and puts statistics of the features beside.

    Args:
        outputs: pools what is before the features.
        features: pools these.
        dim: of a feature frame.
        stride: feature frames of an output.
    """

    def __init__(self, outputs: layers.Layer, features: Statistics, dim: int, stride: int) -> None:
        super().__init__(dtype="float32")
        self._outputs, self._features = outputs, features
        self._dim, self._carried = dim, dim * stride

    def _shapes(self, shape: tuple) -> tuple[tuple, tuple]:
        return (*shape[:-1], shape[-1] - self._carried), (shape[0], None, self._dim)

    def build(self, shape: tuple) -> None:
        outputs, features = self._shapes(shape)
        self._outputs.build(outputs)
        self._features.build(features)
        self.built = True

    def compute_output_shape(self, shape: tuple) -> tuple:
        outputs, features = self._shapes(shape)
        width = self._outputs.compute_output_shape(outputs)[-1]
        return shape[0], width + self._features.compute_output_shape(features)[-1]

    def call(self, outputs: tf.Tensor) -> tf.Tensor:
        own, carried = tf.split(outputs, [outputs.shape[-1] - self._carried, self._carried], -1)
        frames = tf.reshape(carried, [tf.shape(carried)[0], -1, self._dim])
        return tf.concat([self._outputs(own), self._features(frames)], axis=-1)


def moments(values: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Weighted mean and standard deviation over time, each (windows, channels)."""
    mean = tf.reduce_sum(weights * values, axis=1)
    variance = tf.reduce_sum(weights * tf.square(values - mean[:, None]), axis=1)
    return mean, tf.sqrt(variance + VARIANCE_FLOOR)
