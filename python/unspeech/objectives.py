"""Objectives: what training makes small, by name.

A new objective is one function and one line in `OBJECTIVES`. Each takes the model and the
embeddings of targets and contexts, as every window is embedded once a step, and forms its pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from unspeech.model import UnspeechModel


@dataclass(frozen=True)
class Outcome:
    """What an objective says of one step.

    Attributes:
        loss: () float32.
        logits: (pairs,) float32; above 0 the pair counts as positive.
        labels: (pairs,) float32, 1 for a positive pair and 0 for a negative one.
    """

    loss: tf.Tensor
    logits: tf.Tensor
    labels: tf.Tensor

    def correct(self) -> tf.Tensor:
        """() float32, share of pairs that are told apart rightly."""
        return tf.reduce_mean(tf.cast((self.logits > 0) == (self.labels > 0), tf.float32))


def logistic(
    model: UnspeechModel, targets: tf.Tensor, contexts: tf.Tensor, negatives: tf.Tensor
) -> Outcome:
    """Logistic loss on the logits of pairs, mean over positive and negative ones.

    Args:
        model: what gives a pair's logit, and the settings.
        targets: (batch, embedding) float32.
        contexts: (batch, contexts, embedding) float32.
        negatives: (pairs, 2) int32, see `sampling.Batch`.
    Source: Milde and Biemann 2018, equation 1.
    """
    config = model.config
    positive = tf.reshape(model.pair_logits(targets[:, None], contexts), [-1])
    context_rows = tf.reshape(contexts, [-1, contexts.shape[-1]])
    negative = model.pair_logits(
        tf.gather(targets, negatives[:, 0]), tf.gather(context_rows, negatives[:, 1])
    )
    logits = tf.concat([positive, negative], axis=0)
    labels = tf.concat([tf.ones_like(positive), tf.zeros_like(negative)], axis=0)
    weight = config.negative_samples / config.contexts if config.use_weighted_loss_func else 1.0
    losses = tf.nn.weighted_cross_entropy_with_logits(labels, logits, pos_weight=weight)
    return Outcome(tf.reduce_mean(losses), logits, labels)


Objective = Callable[[UnspeechModel, tf.Tensor, tf.Tensor, tf.Tensor], Outcome]

OBJECTIVES: dict[str, Objective] = {
    "logistic": logistic,
}
