"""Encoders: networks that turn windows of frames into vectors, by name.

A new encoder is one function from (frames, dim) to a Keras model and one line in `ENCODERS`. One
whose name begins with `Dynamic_` takes windows of any length, see `lstm`.
"""

from collections.abc import Callable

from unspeech.cli.errors import UnspeechError
from unspeech.network.backend import keras
from unspeech.network.config import Config
from unspeech.network.encoders.conv import dense_net, vgg16, vgg16big
from unspeech.network.encoders.dnn import baseline_dnn, highway_dnn
from unspeech.network.encoders.lstm import dynamic_bilstm, dynamic_lstm, static_bilstm, static_lstm
from unspeech.network.encoders.resnet import (
    inception_resnet_v2,
    resnet_v2_50,
    resnet_v2_50_small,
    resnet_v2_50_small_flat,
    resnet_v2_101,
)
from unspeech.network.encoders.tdnn import ecapa, tdnn
from unspeech.network.frontend import filter_bank

ENCODERS: dict[str, Callable[[int, int, Config], keras.Model]] = {
    "Vgg16": vgg16,
    "Vgg16big": vgg16big,
    "Vgg16bigB": vgg16big,  # differs in the head only
    "Resnet_v2_50_small": resnet_v2_50_small,
    "Resnet_v2_50_small_flat": resnet_v2_50_small_flat,
    "Resnet_v2_50": resnet_v2_50,
    "Resnet_v2_101": resnet_v2_101,
    "Inception_Resnet_v2": inception_resnet_v2,
    "DenseNet": dense_net,
    "HighwayDnn": highway_dnn,
    "BaselineDnn": baseline_dnn,
    "Static_LSTM": static_lstm,
    "Static_biLSTM": static_bilstm,
    "Dynamic_LSTM": dynamic_lstm,
    "Dynamic_biLSTM": dynamic_bilstm,
    "TDNN": tdnn,
    "ECAPA": ecapa,
}


def make_encoder(frames: int, config: Config) -> keras.Model:
    """Build the configured encoder, after a learnt filter bank if `end_to_end`.

    Args:
        frames: length of its windows, in samples if `end_to_end`.
        config: settings; `embedding_transformation` names the encoder.
    Returns:
        a model from (windows, frames, input_size) to (windows, features).
    Raises:
        UnspeechError: when there is no encoder of that name, or windows are too small for it.
    """
    name = config.embedding_transformation
    if name not in ENCODERS:
        raise UnspeechError(
            f"embedding_transformation: no encoder '{name}'; there are: {', '.join(ENCODERS)}"
        )
    try:
        if not config.end_to_end:
            return ENCODERS[name](frames, config.feat_size, config)
        samples = keras.Input((frames, 1))
        filtered = filter_bank(samples, config)
        return keras.Model(samples, ENCODERS[name](*filtered.shape[1:], config)(filtered))
    except ValueError as error:
        raise UnspeechError(
            f"embedding_transformation {name} cannot take windows of {frames} frames with "
            f"{config.input_size} dimensions: {error}"
        ) from None
