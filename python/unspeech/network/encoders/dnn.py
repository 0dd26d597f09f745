"""Fully connected encoders, which see a window as one vector."""

from unspeech.network.backend import keras, layers
from unspeech.network.blocks import dense, leaky_relu
from unspeech.network.config import Config


def baseline_dnn(frames: int, dim: int, config: Config) -> keras.Model:
    """`num_dnn_layers` layers of `fc_size` units."""
    window = keras.Input((frames, dim))
    x = layers.Flatten()(window)
    for i in range(config.num_dnn_layers):
        x = dense(x, config.fc_size, f"fully_connected_{i}", config)
    return keras.Model(window, x)


def highway_dnn(frames: int, dim: int, config: Config) -> keras.Model:
    """A layer of 4 * `fc_size` units and `num_highway_layers` highway layers of that width.

    Source: Srivastava et al. 2015, Highway Networks.
    """
    window = keras.Input((frames, dim))
    x = dense(layers.Flatten()(window), 4 * config.fc_size, "fully_connected", config)
    for i in range(config.num_highway_layers):
        x = _highway(x, f"highway_{i}")
    return keras.Model(window, x)


def _highway(x, name: str):
    """Layer whose gate mixes its output with its input; at first it mostly lets the input pass."""

    def part(kind: str, activation, bias: float):
        return layers.Dense(
            x.shape[-1],
            activation=activation,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.1),
            bias_initializer=keras.initializers.Constant(bias),
            name=f"{name}_{kind}",
        )(x)

    gate = part("gate", "sigmoid", -1.0)
    return gate * part("hidden", leaky_relu, 0.1) + (1.0 - gate) * x
