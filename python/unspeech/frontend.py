"""The learnt filter bank that takes the place of FBANK when training on waveforms."""

import keras
import tensorflow as tf
from keras import layers

from unspeech.blocks import leaky_relu
from unspeech.config import Config


class FilterBank(layers.Layer):
    """`num_filters` filters of `filter_sizes` samples, their output at every 4th sample.

    A convolution of stride 2, tanh or leaky ReLU, log(1 + |x|) if set, the larger of every two.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(name="filter_bank")
        self.log = config.first_layer_log1p
        self.filters = layers.Conv1D(
            config.num_filters,
            config.filter_sizes,
            strides=2,
            activation="tanh" if config.first_layer_tanh else leaky_relu,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.01),
            bias_initializer=keras.initializers.Constant(0.01),
        )
        self.pool = layers.MaxPool1D(2)

    def call(self, samples: tf.Tensor) -> tf.Tensor:
        """(windows, samples, 1) to (windows, frames, num_filters)."""
        x = self.filters(samples)
        return self.pool(tf.math.log1p(tf.abs(x)) if self.log else x)
