"""Residual encoders: Keras' networks, with what the original's TF-Slim versions do otherwise.

Batch normalisation: moving averages are weights like others; `force_resnet_istraining` replaces
them by each batch's own statistics, see `model.py`.
"""

from collections.abc import Callable

from unspeech.network.backend import keras, layers
from unspeech.network.blocks import initializers
from unspeech.network.config import Config
from unspeech.network.replicas import several_replicas

INCEPTION_LEAST = 75  # frames and filters that its unpadded convolutions need


def resnet_v2_50(frames: int, dim: int, config: Config) -> keras.Model:
    """ResNet-50 v2. Source: He et al. 2016, Identity Mappings in Deep Residual Networks."""
    return _resnet(keras.applications.ResNet50V2, frames, dim, config)


def resnet_v2_101(frames: int, dim: int, config: Config) -> keras.Model:
    """ResNet-101 v2."""
    return _resnet(keras.applications.ResNet101V2, frames, dim, config)


def resnet_v2_50_small(frames: int, dim: int, config: Config) -> keras.Model:
    """ResNet-50 v2 with half the channels in all residual units."""
    return _resnet(keras.applications.ResNet50V2, frames, dim, config, narrowing=2)


def resnet_v2_50_small_flat(frames: int, dim: int, config: Config) -> keras.Model:
    """The same, with `fc_size` outputs for each place of the image in place of its mean."""
    return _resnet(keras.applications.ResNet50V2, frames, dim, config, narrowing=2, pooling=None)


def _resnet(
    network: Callable[..., keras.Model],
    frames: int,
    dim: int,
    config: Config,
    narrowing: int = 1,
    pooling: str | None = "avg",
) -> keras.Model:
    """The network, averaged over the image or not, and a linear layer of `fc_size` after it.

    TF-Slim pads the first pooling only where it must, and has other constants in its batch norm.
    """
    weights = initializers() | {"kernel_initializer": keras.initializers.HeNormal()}

    def adapt(layer: layers.Layer) -> dict:
        if isinstance(layer, layers.BatchNormalization):
            return {"momentum": 0.997, "epsilon": 1e-5, "synchronized": several_replicas()}
        if layer.name == "pool1_pad":
            return {"padding": 0}
        if layer.name == "pool1_pool":
            return {"padding": "same"}
        if isinstance(layer, layers.Conv2D):
            filters = layer.filters if layer.name == "conv1_conv" else layer.filters // narrowing
            return {"filters": filters, **weights}
        return {}

    window = keras.Input((frames, dim))
    net = _adapted(network, layers.Reshape((frames, dim, 1))(window), adapt, pooling)
    logits = layers.Dense(config.fc_size, name="logits", **weights)
    return keras.Model(net.input, layers.Flatten()(logits(net.output)))


def inception_resnet_v2(frames: int, dim: int, config: Config) -> keras.Model:
    """Inception-ResNet v2, averaged over the image. Source: Szegedy et al. 2017.

    Its unpadded convolutions leave nothing of an image below 75x75, such as 64 frames of 40
    filters, on which the original fails; a smaller window is stretched to that size.
    """

    def adapt(layer: layers.Layer) -> dict:
        if isinstance(layer, layers.BatchNormalization):
            return {"momentum": 0.9997, "synchronized": several_replicas()}
        return initializers() if isinstance(layer, layers.Conv2D) else {}

    window = keras.Input((frames, dim))
    image = layers.Reshape((frames, dim, 1))(window)
    size = max(frames, INCEPTION_LEAST), max(dim, INCEPTION_LEAST)
    if size != (frames, dim):
        image = layers.Resizing(*size)(image)
    return _adapted(keras.applications.InceptionResNetV2, image, adapt)


def _adapted(
    network: Callable[..., keras.Model],
    image,
    adapt: Callable[[layers.Layer], dict],
    pooling: str | None = "avg",
) -> keras.Model:
    """A network of `keras.applications` on an image, its layers' settings changed by `adapt`."""
    net = network(include_top=False, weights=None, input_tensor=image, pooling=pooling)
    adapted = keras.models.clone_model(
        net, clone_function=lambda layer: layer.from_config(layer.get_config() | adapt(layer))
    )
    return keras.Model(adapted.inputs[0], adapted.outputs[0])
