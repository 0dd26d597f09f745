"""Recurrent encoders: LSTMs of `rnn_hidden_cells` over the frames of a window.

The dynamic ones take windows of any length: a model of [windows, lengths], windows padded to the
longest, (windows, frames, dim) and (windows,) int32.
"""

from unspeech.network.backend import keras, layers, tf
from unspeech.network.config import Config


def static_lstm(frames: int, dim: int, config: Config) -> keras.Model:
    """The output at the last frame."""
    window = keras.Input((frames, dim))
    return keras.Model(window, layers.LSTM(config.rnn_hidden_cells, name="forward")(window))


def static_bilstm(frames: int, dim: int, config: Config) -> keras.Model:
    """Both directions' outputs at the last frame, side by side.

    There the backward LSTM has seen one frame only, so it need not run over the others.
    """
    window = keras.Input((frames, dim))
    forward = layers.LSTM(config.rnn_hidden_cells, name="forward")(window)
    backward = layers.LSTM(config.rnn_hidden_cells, name="backward")(window[:, -1:])
    return keras.Model(window, layers.Concatenate()([forward, backward]))


def dynamic_lstm(frames: int, dim: int, config: Config) -> keras.Model:
    """The output at each window's last frame."""
    windows, lengths = keras.Input((None, dim)), keras.Input((), dtype="int32")
    lstm = layers.LSTM(config.rnn_hidden_cells, name="forward")
    return keras.Model([windows, lengths], lstm(windows, mask=_Mask()(windows, lengths)))


def dynamic_bilstm(frames: int, dim: int, config: Config) -> keras.Model:
    """Sum of the output at the last frame and that of the backward LSTM at the first."""
    windows, lengths = keras.Input((None, dim)), keras.Input((), dtype="int32")
    mask = _Mask()(windows, lengths)
    forward = layers.LSTM(config.rnn_hidden_cells, name="forward")
    backward = layers.LSTM(config.rnn_hidden_cells, go_backwards=True, name="backward")
    return keras.Model(
        [windows, lengths], forward(windows, mask=mask) + backward(windows, mask=mask)
    )


class _Mask(layers.Layer):
    """(windows, frames) bool, whether a frame belongs to its window or fills it up."""

    def call(self, windows: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return tf.sequence_mask(lengths, tf.shape(windows)[1])
