"""The network: an encoder of windows and two heads, for targets and for contexts."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.files.atomic import make_directory
from unspeech.files.settings import read_yaml
from unspeech.network.backend import keras, layers, tf
from unspeech.network.blocks import initializers, leaky_relu
from unspeech.network.config import Config
from unspeech.network.config_files import make_config
from unspeech.network.encoders.table import make_encoder
from unspeech.network.model_dir import check_complete, check_id, write_id
from unspeech.network.replicas import dropout


class UnspeechModel(keras.Model):
    """Embeds target windows and context windows; a pair's logit is their dot product.

    Source: Milde and Biemann 2018, figure 1; the original's names of settings.
    """

    def __init__(self, config: Config) -> None:
        # The policy of all layers that are made from here on; weights are float32 with both.
        policy = "mixed_bfloat16" if config.mixed_precision else "float32"
        keras.config.set_dtype_policy(policy)
        super().__init__()
        self.config = config
        self.target_encoder = make_encoder(config.window_length, config)
        self.context_encoder = (
            self.target_encoder
            if config.tied_embeddings_transforms
            else make_encoder(config.window_neg_length, config)
        )
        self.target_head = Head(config)
        self.context_head = (
            self.target_head if config.tied_final_embeddings_transforms else Head(config)
        )
        self._always_batch_statistics = (
            config.force_resnet_istraining and "Resnet" in config.embedding_transformation
        )
        if config.normalize_input:
            size = (config.input_size,)
            self.input_mean = self._constant("input_mean", size, "zeros")
            self.input_deviation = self._constant("input_deviation", size, "ones")
        if config.unit_normalize_var:
            self.out_scaler = self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(config.initial_scale),
                name="out_scaler",
            )
        if not config.use_dot_combine:
            self.projection = layers.Dense(1, dtype="float32", **initializers())
        if config.objective == "dino":
            self.prototypes = layers.Dense(config.prototypes, use_bias=False)
            self.prototypes.build([None, config.embedding_size])
        left = self.embed_targets(tf.zeros([1, config.window_length, config.input_size]))
        right = self.embed_contexts(tf.zeros([1, config.window_neg_length, config.input_size]))
        self.pair_logits(left, right)
        self.built = True  # all weights exist after these calls

    def _constant(self, name: str, shape: tuple, initializer: str) -> keras.Variable:
        return self.add_weight(name=name, shape=shape, initializer=initializer, trainable=False)

    def set_normalization(self, frames: np.ndarray) -> None:
        """Take each dimension's mean and standard deviation from training speech.

        One shift and scale for all speech: unlike a mean normalisation of each utterance, it
        leaves the channel in.

        Args:
            frames: (frames, input_size).
        """
        self.input_mean.assign(frames.mean(axis=0, dtype=np.float64))
        self.input_deviation.assign(frames.std(axis=0, dtype=np.float64) + 1e-3)

    def embed_targets(self, windows: tf.Tensor, lengths: tf.Tensor | None = None) -> tf.Tensor:
        """(windows, frames, dim) to (windows, embedding), without dropout.

        With a dynamic encoder, (windows,) int32 `lengths` say how many frames of each count.
        """
        return self._finish(self.target_head(self._encode(self.target_encoder, windows, lengths)))

    def embed_contexts(self, windows: tf.Tensor, lengths: tf.Tensor | None = None) -> tf.Tensor:
        """As `embed_targets`, with the context encoder and head."""
        return self._finish(self.context_head(self._encode(self.context_encoder, windows, lengths)))

    def frame_outputs(self, frames: tf.Tensor) -> tf.Tensor:
        """What a pooling encoder pools.

        (utterances, frames, dim) to (utterances, outputs, channels).
        """
        outputs = self.target_encoder.frame_level(self._input(frames))
        return tf.cast(outputs, tf.float32)  # with mixed precision they are not

    def embed_target_outputs(self, outputs: tf.Tensor) -> tf.Tensor:
        """(windows, outputs, channels) to (windows, embedding): the rest of `embed_targets`."""
        return self._finish(self.target_head(self.target_encoder.finish(outputs)))

    def embed_context_outputs(self, outputs: tf.Tensor) -> tf.Tensor:
        """The rest of `embed_contexts`."""
        return self._finish(self.context_head(self.context_encoder.finish(outputs)))

    def embed_batch(
        self,
        targets: tf.Tensor,
        contexts: tf.Tensor,
        target_lengths: tf.Tensor | None = None,
        context_lengths: tf.Tensor | None = None,
        dropout_seed: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Embed each window of a step once.

        Args:
            targets: (batch, frames, dim).
            contexts: (batch, contexts, frames, dim).
            target_lengths: (batch,) int32, for dynamic encoders.
            context_lengths: (batch, contexts) int32, for dynamic encoders.
            dropout_seed: (2,) int32; None for no dropout and no updates of moving averages.
        Returns:
            (batch, 1, embedding), with `targets_anywhere` (batch, 1 + contexts, embedding): the
            targets, then the contexts embedded as targets are; and (batch, contexts, embedding).
        """
        batch, count = contexts.shape[:2]
        flat = tf.reshape(contexts, [-1, tf.shape(contexts)[2], contexts.shape[3]])
        flat.set_shape([batch * count, *contexts.shape[2:]])
        flat_lengths = None if context_lengths is None else tf.reshape(context_lengths, [-1])
        training = dropout_seed is not None
        if self.target_encoder is self.context_encoder and not self.config.dynamic:
            windows = tf.concat([targets, flat], axis=0)
            encoded = self._encode(self.target_encoder, windows, None, training)
            encoded_targets, encoded_contexts = encoded[:batch], encoded[batch:]
        else:
            encoded_targets = self._encode(self.target_encoder, targets, target_lengths, training)
            encoded_contexts = self._encode(self.context_encoder, flat, flat_lengths, training)
        as_targets = encoded_targets[:, None]
        if self.config.targets_anywhere:
            others = tf.reshape(encoded_contexts, [batch, count, -1])
            as_targets = tf.concat([as_targets, others], axis=1)
        rows = tf.reshape(as_targets, [batch * as_targets.shape[1], encoded_targets.shape[1]])
        size = self.config.embedding_size
        context_seed = None if dropout_seed is None else dropout_seed + tf.constant([0, 1 << 30])
        return (
            tf.reshape(self._finish(self.target_head(rows, dropout_seed)), [batch, -1, size]),
            tf.reshape(
                self._finish(self.context_head(encoded_contexts, context_seed)),
                [batch, count, size],
            ),
        )

    def _encode(
        self,
        encoder: keras.Model,
        windows: tf.Tensor,
        lengths: tf.Tensor | None,
        training: bool = False,
    ) -> tf.Tensor:
        windows = self._input(windows)
        if not self.config.dynamic:
            training = training or self._always_batch_statistics
            return encoder(windows, training=training)
        if lengths is None:
            lengths = tf.fill([tf.shape(windows)[0]], tf.shape(windows)[1])
        inputs = [tf.convert_to_tensor(windows), tf.convert_to_tensor(lengths)]
        return encoder(inputs, training=training)

    def _input(self, windows: tf.Tensor) -> tf.Tensor:
        if not self.config.normalize_input:
            return windows
        return (windows - self.input_mean) / self.input_deviation

    def _finish(self, outputs: tf.Tensor) -> tf.Tensor:
        outputs = tf.cast(outputs, tf.float32)
        if self.config.unit_normalize:
            outputs = tf.math.l2_normalize(outputs, axis=-1)
        return outputs * self.out_scaler if self.config.unit_normalize_var else outputs

    def pair_logits(self, targets: tf.Tensor, contexts: tf.Tensor) -> tf.Tensor:
        """How strongly each pair looks like a positive one: (…, embedding) twice to (…)."""
        if self.config.use_dot_combine:
            return tf.reduce_sum(targets * contexts, axis=-1)
        return tf.squeeze(self.projection(targets - contexts), axis=-1)

    def prototype_scores(self, embeddings: tf.Tensor) -> tf.Tensor:
        """Cosine of each embedding with each prototype: (…, embedding) to (…, prototypes)."""
        directions = tf.math.l2_normalize(self.prototypes.kernel, axis=0)
        return tf.matmul(tf.math.l2_normalize(embeddings, axis=-1), directions)

    def squared_scale(self) -> tf.Tensor:
        """What the trained factor multiplies a dot product by, 1 without it."""
        return tf.square(self.out_scaler) if self.config.unit_normalize_var else tf.constant(1.0)

    def l2_penalty(self) -> tf.Tensor:
        """Half the squared norm of all kernels (not biases), as TF-Slim's regularizer counts."""
        kernels = [w for w in self.trainable_weights if w.name == "kernel"]
        return tf.add_n([tf.nn.l2_loss(kernel) for kernel in kernels])


class Head(layers.Layer):
    """Dense layers: leaky ReLU and dropout after each but the last, which is linear.

    Two in all; three with Vgg16bigB, which differs from Vgg16big in this alone; one with fc_size 0.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.drop = 1.0 - config.dropout_keep_prob
        self.hidden = self.second_hidden = None
        if config.fc_size:
            self.hidden = layers.Dense(config.fc_size, activation=leaky_relu, **initializers())
            if config.embedding_transformation == "Vgg16bigB":
                self.second_hidden = layers.Dense(
                    config.fc_size, activation=leaky_relu, **initializers()
                )
        self.output_layer = layers.Dense(config.embedding_size, **initializers())

    def call(self, features: tf.Tensor, dropout_seed: tf.Tensor | None = None) -> tf.Tensor:
        for number, hidden in enumerate((self.hidden, self.second_hidden)):
            if hidden is not None:
                features = self._dropout(hidden(features), dropout_seed, number)
        return self.output_layer(features)

    def _dropout(self, hidden: tf.Tensor, seed: tf.Tensor | None, number: int) -> tf.Tensor:
        if seed is None or self.drop == 0:
            return hidden
        # Stateless, so that a restarted run drops what the undisturbed one would have dropped.
        own = seed + tf.constant([0, number << 29])
        return dropout(hidden, self.drop, own)


def save_weights(model: UnspeechModel, path: Path) -> None:
    """Write a weights file under its name only when it is complete."""
    make_directory(path.parent)
    part = path.with_name(f".part.{path.name}")
    try:
        model.save_weights(part)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    os.replace(part, path)


def finish_model(model: UnspeechModel, directory: Path) -> str:
    """Write `model.weights.h5` and, last, `final.ie.id`, which marks the model as complete.

    Returns: the id, which depends on settings and weights only. Kaldi compares it between an
    i-vector directory and a network trained on it (`steps/nnet2/check_ivectors_compatible.sh`).
    Raises:
        UnspeechError: when a weight is not finite.
    """
    if not all(np.isfinite(weight.numpy()).all() for weight in model.weights):
        raise UnspeechError(f"{directory}: some weights are NaN or infinite; there is no model")
    save_weights(model, directory / "model.weights.h5")
    return write_id(directory, arrays_of(model))


def in_full_precision(model: UnspeechModel) -> UnspeechModel:
    """The model as embeddings are computed: in float32, however it was trained."""
    if not model.config.mixed_precision:
        return model
    same = UnspeechModel(dataclasses.replace(model.config, mixed_precision=False))
    same.set_weights(model.get_weights())
    return same


def load_model(directory: str | Path) -> UnspeechModel:
    """Rebuild a trained model from its directory.

    Raises:
        UnspeechError: when the directory holds no complete model, or see `load_weights`.
    """
    directory = Path(directory)
    path = directory / "config.yaml"
    check_complete(directory)
    # Embeddings are computed in full precision, however the model was trained.
    values = read_yaml(path) | {"mixed_precision": False}
    model = UnspeechModel(make_config(values, path))
    load_weights(model, directory)
    return model


def load_weights(model: UnspeechModel, directory: Path) -> None:
    """Take the weights of a model directory.

    Raises:
        UnspeechError: when they do not fit or are not there, or they or `config.yaml` are not
            those that `final.ie.id` was made from.
    """
    check_complete(directory)
    weights = directory / "model.weights.h5"
    try:
        model.load_weights(weights)
    except Exception as error:
        raise UnspeechError(
            f"{weights}: does not fit these settings, or is damaged ({error}); train it again"
        ) from None
    check_id(directory, arrays_of(model))


def arrays_of(model: UnspeechModel) -> Iterator[np.ndarray]:
    """The weights of a network, which its id is made from."""
    return (weight.numpy() for weight in model.weights)
