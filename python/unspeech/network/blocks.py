"""Layers that several encoders and the heads are made of, with the original's initial weights."""

from unspeech.network.backend import keras, layers
from unspeech.network.config import Config
from unspeech.network.replicas import several_replicas

LEAK = 0.2  # slope of the leaky ReLU below zero, throughout the original


def initializers() -> dict:
    """Initial weights and biases of every layer, as in the original."""
    return {
        "kernel_initializer": keras.initializers.VarianceScaling(1.0, "fan_in", "truncated_normal"),
        "bias_initializer": keras.initializers.Constant(0.001),
    }


def leaky_relu(x):
    return keras.ops.leaky_relu(x, negative_slope=LEAK)


def convolution(x, channels: int, name: str, config: Config):
    """3x3 convolution over (frame, filter) that keeps the size; batch norm if set; leaky ReLU."""
    layer = layers.Conv2D(
        channels,
        3,
        padding="same",
        use_bias=not config.batch_normalization,
        name=name,
        **initializers(),
    )
    return _activate(layer(x), name, config)


def dense(x, units: int, name: str, config: Config):
    """Fully connected layer; batch norm if set; leaky ReLU."""
    layer = layers.Dense(
        units, use_bias=not config.batch_normalization, name=name, **initializers()
    )
    return _activate(layer(x), name, config)


def _activate(x, name: str, config: Config):
    if config.batch_normalization:
        x = batch_norm(name, config)(x)
    return layers.Activation(leaky_relu, name=f"{name}_activation")(x)


def batch_norm(name: str, config: Config, **options) -> layers.BatchNormalization:
    """Batch normalisation with TF-Slim's defaults.

    A shift and no scale, which the next layer's weights make up for.
    """
    return layers.BatchNormalization(
        momentum=config.batch_normalization_decay,
        scale=False,
        synchronized=several_replicas(),
        name=f"{name}_norm",
        **options,
    )
