"""Plain convolutional encoders: the VGGs and the original's small DenseNet.

They see a window as an image of one channel, (frame, filter).
"""

from unspeech.network.backend import keras, layers
from unspeech.network.blocks import convolution
from unspeech.network.config import Config


def _vgg(frames: int, dim: int, config: Config, blocks: list[tuple[int, int]]) -> keras.Model:
    """Blocks of 3x3 convolutions, (repeats, channels) each, with 2x2 max-pooling after each."""
    window = keras.Input((frames, dim))
    x = layers.Reshape((frames, dim, 1))(window)
    for block, (repeats, channels) in enumerate(blocks, start=1):
        for i in range(1, repeats + 1):
            x = convolution(x, channels, f"conv{block}_{i}", config)
        x = layers.MaxPool2D(2, name=f"pool{block}")(x)
    return keras.Model(window, layers.Flatten()(x))


def vgg16(frames: int, dim: int, config: Config) -> keras.Model:
    """The original's small VGG: four blocks of 16 to 128 channels."""
    return _vgg(frames, dim, config, [(2, 16), (2, 32), (3, 64), (3, 128)])


def vgg16big(frames: int, dim: int, config: Config) -> keras.Model:
    """VGG with five blocks of 32 to 512 channels: the paper's network."""
    return _vgg(frames, dim, config, [(2, 32), (2, 64), (3, 128), (3, 256), (3, 512)])


def dense_net(frames: int, dim: int, config: Config) -> keras.Model:
    """Two densely connected blocks with a transition between them that halves the size."""
    window = keras.Input((frames, dim))
    x = layers.Reshape((frames, dim, 1))(window)
    x = _dense_block(x, "dense_unit2", config)
    x = convolution(x, config.dense_block_filters_transition, "transition1", config)
    x = layers.AveragePooling2D(2)(x)
    x = _dense_block(x, "dense_unit3", config)
    x = layers.AveragePooling2D(7, strides=1)(x)
    return keras.Model(window, layers.Flatten()(x))


def _dense_block(x, name: str, config: Config):
    """Convolutions that each see the outputs of all before them in the block."""
    outputs = [convolution(x, config.dense_block_filters, f"{name}_0", config)]
    for i in range(1, config.dense_block_layers_connected + 1):
        seen = layers.Concatenate()(outputs) if i > 1 else outputs[0]
        outputs.append(convolution(seen, config.dense_block_filters, f"{name}_{i}", config))
    return outputs[-1]
