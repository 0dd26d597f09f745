"""Encoders: networks that turn windows of frames into vectors, by name.

A new encoder is one function from (frames, dim) to a Keras model and one line in `ENCODERS`.
"""

from collections.abc import Callable

import keras
from keras import layers

from unspeech.config import Config
from unspeech.errors import UnspeechError

LEAK = 0.2  # slope of the leaky ReLU below zero, throughout the original


def initializers() -> dict:
    """Initial weights and biases of every layer, as in the original."""
    return {
        "kernel_initializer": keras.initializers.VarianceScaling(1.0, "fan_in", "truncated_normal"),
        "bias_initializer": keras.initializers.Constant(0.001),
    }


def leaky_relu(x):
    return keras.ops.leaky_relu(x, negative_slope=LEAK)


def _vgg(frames: int, dim: int, blocks: list[tuple[int, int]]) -> keras.Model:
    """Blocks of 3x3 convolutions over (frame, filter), each with 2x2 max-pooling after it."""
    window = keras.Input((frames, dim))
    x = layers.Reshape((frames, dim, 1))(window)
    for block, (repeats, channels) in enumerate(blocks, start=1):
        for i in range(1, repeats + 1):
            x = layers.Conv2D(
                channels,
                3,
                padding="same",
                activation=leaky_relu,
                name=f"conv{block}_{i}",
                **initializers(),
            )(x)
        x = layers.MaxPool2D(2, name=f"pool{block}")(x)
    return keras.Model(window, layers.Flatten()(x))


def vgg16(frames: int, dim: int, config: Config) -> keras.Model:
    """The original's small VGG: four blocks of 16 to 128 channels."""
    return _vgg(frames, dim, [(2, 16), (2, 32), (3, 64), (3, 128)])


def vgg16big(frames: int, dim: int, config: Config) -> keras.Model:
    """VGG-A-like with five blocks of 32 to 512 channels: the paper's network."""
    return _vgg(frames, dim, [(2, 32), (2, 64), (3, 128), (3, 256), (3, 512)])


ENCODERS: dict[str, Callable[[int, int, Config], keras.Model]] = {
    "Vgg16": vgg16,
    "Vgg16big": vgg16big,
}


def make_encoder(frames: int, config: Config) -> keras.Model:
    """Build the configured encoder.

    Args:
        frames: length of its windows.
        config: settings; `embedding_transformation` names the encoder.
    Returns:
        a model from (windows, frames, feat_size) to (windows, features).
    Raises:
        UnspeechError: when there is no encoder of that name, or windows are too small for it.
    """
    name = config.embedding_transformation
    if name not in ENCODERS:
        raise UnspeechError(
            f"embedding_transformation: no encoder '{name}'; there are: {', '.join(ENCODERS)}"
        )
    try:
        return ENCODERS[name](frames, config.feat_size, config)
    except ValueError as error:
        raise UnspeechError(
            f"embedding_transformation {name} cannot take windows of {frames} frames with "
            f"{config.feat_size} dimensions: {error}"
        ) from None
