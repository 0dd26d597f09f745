"""Time-delay encoders: convolutions over time, then statistics over the frames of a window.

What comes before the statistics depends on a frame's neighbourhood only, so it runs once over an
utterance and windows are pooled from its output: windows that overlap cost next to nothing.
"""

from unspeech.network.backend import keras, layers, tf
from unspeech.network.blocks import batch_norm
from unspeech.network.config import Config
from unspeech.network.pooling import statistics_named
from unspeech.network.pooling_layers import (
    AttentiveStatistics,
    CarriedFeatures,
    Statistics,
    WithFeatures,
)

TDNN_LAYERS = ((5, 1), (3, 1), (3, 2), (3, 3))  # width and dilation of each convolution
ECAPA_DILATIONS = (1, 1, 2)  # of the blocks
ECAPA_PARTS = 4  # of a block's channels; the first is passed on, the others are convolved


class PooledEncoder(keras.Model):
    """A frame-level network and a pooling of its outputs.

    With `feature_statistics`, the outputs carry features, whose statistics stand beside their own;
    with `batch_normalization`, what is pooled is normalised for the trained head.

    Attributes:
        frame_level: (windows, frames, dim) to (windows, outputs, channels), without padding.
        pooling: (windows, outputs, channels) to (windows, width), what a solved head is for.
        stride: frames from one output to the next.
        outputs: how many a window has.
        channels: of an output.
        width: of what is pooled.

    Args:
        window: input of the network.
        outputs: of the network.
        pooling: of these.
        frames: of a window.
        config: settings.
    """

    def __init__(self, window, outputs, pooling: layers.Layer, frames: int, config: Config) -> None:
        super().__init__()
        dim, self.stride = window.shape[-1], config.time_stride
        if config.feature_statistics:
            network = keras.Model(window, outputs)
            count = network.compute_output_shape((1, frames, dim))[1]
            seen = frames - (count - 1) * self.stride
            outputs = CarriedFeatures(self.stride, seen)(window, outputs)
            channels = min(config.correlation_channels, dim)
            features = Statistics(statistics_of(config), channels, fixed=True)
            pooling = WithFeatures(pooling, features, dim, self.stride)
        self.frame_level, self.pooling = keras.Model(window, outputs), pooling
        shape = self.frame_level.compute_output_shape((1, frames, dim))
        _, self.outputs, self.channels = shape
        pooling.build(shape)
        self.width = pooling.compute_output_shape(shape)[-1]
        self.norm = None
        if config.batch_normalization:
            self.norm = batch_norm("pooled", config, dtype="float32")
            self.norm.build((None, self.width))
        self.built = True

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.finish(self.frame_level(windows, training=training), training)

    def finish(self, outputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """(windows, outputs, channels) to (windows, width): all that follows `frame_level`."""
        pooled = self.pooling(outputs)
        return self.norm(pooled, training=training) if self.norm else pooled


def tdnn(frames: int, dim: int, config: Config) -> PooledEncoder:
    """Convolutions that see 29 frames in all; statistics over time.

    Source: Snyder et al. 2018, X-Vectors, its frame-level layers, narrower and with a stride.
    """
    window = keras.Input((None, dim))
    x = window
    for i, (width, dilation) in enumerate(TDNN_LAYERS):
        stride = config.time_stride if i == 0 else 1
        x = _convolution(x, config.tdnn_channels, f"tdnn_{i}", width, dilation, stride)
    x = _convolution(x, config.pooled_channels, "tdnn_last")
    pooling = Statistics(statistics_of(config), config.correlation_channels, fixed=False)
    return PooledEncoder(window, x, pooling, frames, config)


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
    pooling = AttentiveStatistics(statistics_of(config), config.correlation_channels)
    return PooledEncoder(window, x, pooling, frames, config)


def statistics_of(config: Config) -> tuple[str, ...]:
    """The statistics that the settings name.

    Raises:
        UnspeechError: see `statistics_named`.
    """
    return statistics_named(config.pooling, "settings")


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
