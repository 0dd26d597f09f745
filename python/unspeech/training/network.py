"""The network in training: one step of it on all devices, and its scores on held-out windows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from unspeech.network.backend import tf
from unspeech.network.config import Config
from unspeech.network.model import UnspeechModel, load_weights
from unspeech.network.replicas import gather, own_part
from unspeech.training.augmentation import augment
from unspeech.training.distribution import Replicas, apply_gradients, mean_gradients
from unspeech.training.objectives import Objective, Taught
from unspeech.training.sampling import HELDOUT_STREAM


class TrainedNetwork:
    """A network with its optimizer and, where the objective wants one, its teacher.

    Attributes:
        model: the network.
        teacher: None, or a network whose weights are a moving average of the model's.
        optimizer: AdamW.
        train_step: one step on a batch; returns () loss and () accuracy on its pairs.
        score: of a batch of held-out windows, () loss, () accuracy, and examples of answers.

    Args:
        config: settings.
        objective: what a step makes small.
        replicas: the devices to train on.
        frames: makes (frames, input_size) training speech, for `normalize_input`.
    """

    def __init__(
        self,
        config: Config,
        objective: Objective,
        replicas: Replicas,
        frames: Callable[[], np.ndarray],
    ) -> None:
        self.config, self.objective, self.replicas = config, objective, replicas
        tf.keras.utils.set_random_seed(config.seed)
        if not config.jit_compile:  # XLA has no deterministic gradient of the pooling on GPUs
            tf.config.experimental.enable_op_determinism()
        # It fails on gradients of the leaky ReLU, with an error message that would worry people.
        tf.config.optimizer.set_experimental_options({"remapping": False})
        with replicas.strategy.scope():
            self.model = UnspeechModel(config)
            if config.initial_model:
                load_weights(self.model, Path(config.initial_model))
            elif config.normalize_input:
                self.model.set_normalization(frames())
            self.teacher = None
            if objective.has_teacher:
                self.teacher = UnspeechModel(config)
                self.teacher.set_weights(self.model.get_weights())
            self.optimizer = tf.keras.optimizers.AdamW(
                config.learn_rate, weight_decay=config.weight_decay
            )
            self.optimizer.build(self.model.trainable_variables)
        self.train_step = tf.function(
            self._train_step, reduce_retracing=True, jit_compile=config.jit_compile
        )
        self.score = tf.function(
            self._heldout_score, reduce_retracing=True, jit_compile=config.jit_compile
        )

    def parts(self) -> dict:
        """What a checkpoint holds of it."""
        parts = {"model": self.model, "optimizer": self.optimizer}
        return parts | ({"teacher": self.teacher} if self.teacher else {})

    def _train_step(self, windows, negatives, groups, seed):
        outcome = self.replicas.run(self._replica_step, windows, negatives, groups, seed)
        if self.teacher is not None:
            for mean, weight in zip(self.teacher.weights, self.model.weights, strict=True):
                mean.assign(weight + self.config.teacher_momentum * (mean - weight))
        return outcome

    def _replica_step(self, windows, negatives, groups, seed):
        if self.config.augmented:
            windows = self._augment(windows, seed)
        windows = [own_part(each) for each in windows]
        taught = self._taught(windows)
        with tf.GradientTape() as tape:
            embeddings = map(gather, self.model.embed_batch(*windows, dropout_seed=seed))
            outcome = self.objective.outcome(self.model, *embeddings, negatives, groups, taught)
            total = outcome.loss
            if self.config.l2_reg > 0:
                total += self.config.l2_reg * self.model.l2_penalty()
        weights = self.model.trainable_variables
        gradients = mean_gradients(tape.gradient(total, weights))
        if self.config.gradient_clipping > 0:
            gradients = [tf.clip_by_norm(g, self.config.gradient_clipping) for g in gradients]
        apply_gradients(self.optimizer, gradients, weights)
        return outcome.loss, outcome.accuracy

    def _taught(self, windows):
        if self.teacher is None:
            return None
        return Taught(self.teacher, *map(gather, self.teacher.embed_batch(*windows)))

    def _augment(self, windows, seed):
        targets, contexts, *lengths = windows
        pairs = augment(tf.concat([targets[:, None], contexts], axis=1), self.config, seed)
        return pairs[:, 0], pairs[:, 1:], *lengths

    def _heldout_score(self, windows, negatives, groups):
        if self.config.augmented:
            # Without, held-out pairs would be told apart by what training hides.
            windows = self._augment(windows, tf.constant([self.config.seed, HELDOUT_STREAM]))
        embeddings = self.model.embed_batch(*windows)
        taught = self._taught(windows)
        outcome = self.objective.outcome(self.model, *embeddings, negatives, groups, taught)
        return outcome.loss, outcome.accuracy, outcome.examples
