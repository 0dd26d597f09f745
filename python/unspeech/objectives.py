"""Objectives: what training makes small, by name.

A new objective is one function and one line in `OBJECTIVES`. Each takes embeddings of targets and
contexts, as every window is embedded once a step, and forms its pairs from them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf


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


def logistic(targets: tf.Tensor, contexts: tf.Tensor, negatives: tf.Tensor) -> Outcome:
    """Logistic loss on dot products, mean over positive and negative pairs.

    Args:
        targets: (batch, embedding) float32.
        contexts: (batch, contexts, embedding) float32.
        negatives: (pairs, 2) int32, see `sampling.Batch`.
    Source: Milde and Biemann 2018, equation 1.
    """
    positive = tf.einsum("be,bce->bc", targets, contexts)
    context_rows = tf.reshape(contexts, [-1, contexts.shape[-1]])
    negative = tf.reduce_sum(
        tf.gather(targets, negatives[:, 0]) * tf.gather(context_rows, negatives[:, 1]), axis=1
    )
    logits = tf.concat([tf.reshape(positive, [-1]), negative], axis=0)
    labels = tf.concat([tf.ones_like(tf.reshape(positive, [-1])), tf.zeros_like(negative)], axis=0)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    return Outcome(tf.reduce_mean(losses), logits, labels)


OBJECTIVES: dict[str, Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Outcome]] = {
    "logistic": logistic,
}
