"""The learnt filter bank that takes the place of FBANK when training on waveforms."""

from unspeech.network.backend import keras, layers, ops
from unspeech.network.blocks import leaky_relu
from unspeech.network.config import Config


def filter_bank(samples, config: Config):
    """`num_filters` filters of `filter_sizes` samples, their output at every 4th sample.

    A convolution of stride 2, tanh or leaky ReLU, log(1 + |x|) if set, the larger of every two.

    Args:
        samples: (windows, samples, 1), a Keras tensor.
        config: settings.
    Returns:
        (windows, frames, num_filters).
    """
    x = layers.Conv1D(
        config.num_filters,
        config.filter_sizes,
        strides=2,
        activation="tanh" if config.first_layer_tanh else leaky_relu,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.01),
        bias_initializer=keras.initializers.Constant(0.01),
        name="filter_bank",
    )(samples)
    return layers.MaxPool1D(2)(ops.log1p(ops.absolute(x)) if config.first_layer_log1p else x)
