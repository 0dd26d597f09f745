"""Objectives: what training makes small, by name.

A new objective is one function and one line in `OBJECTIVES`. Each takes the model and the
embeddings of targets and contexts, as every window is embedded once a step, and forms its pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from unspeech.config import Config
from unspeech.model import UnspeechModel


@dataclass(frozen=True)
class Outcome:
    """What an objective says of one step.

    Attributes:
        loss: () float32.
        accuracy: () float32, share of right answers.
    """

    loss: tf.Tensor
    accuracy: tf.Tensor


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
    return Outcome(tf.reduce_mean(losses), _share((logits > 0) == (labels > 0)))


def infonce(
    model: UnspeechModel, targets: tf.Tensor, contexts: tf.Tensor, negatives: tf.Tensor
) -> Outcome:
    """Find each target's context among those of the batch, and each context's target.

    Cross-entropy of a softmax over dot products, in both directions; `negatives` are not used, as
    all pairs of a target and another's context are negative. With `unit_normalize`, the trained
    factor of `unit_normalize_var` makes the temperature. `margin` is taken off the cosines of
    positive pairs, so that they must stand out by it.

    Source: van den Oord et al. 2018, equation 4; Chen et al. 2020, SimCLR; the margin: Wang et al.
    2018, CosFace.
    """
    del negatives
    config = model.config
    batch = targets.shape[0]
    margin = config.margin * model.squared_scale() * tf.eye(batch)
    answers = tf.range(batch)
    losses, right = [], []
    for position in range(config.contexts):
        logits = tf.matmul(targets, contexts[:, position], transpose_b=True) - margin
        for scores in (logits, tf.transpose(logits)):
            losses.append(tf.nn.sparse_softmax_cross_entropy_with_logits(answers, scores))
            right.append(tf.argmax(scores, axis=1, output_type=tf.int32) == answers)
    return Outcome(tf.reduce_mean(losses), _share(tf.stack(right)))


def _share(right: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.cast(right, tf.float32))


def _larger_class(config: Config) -> float:
    return max(config.contexts, config.negative_samples) / (
        config.contexts + config.negative_samples
    )


@dataclass(frozen=True)
class Objective:
    """What training makes small.

    Attributes:
        outcome: of (model, targets, contexts, negatives).
        guessed: accuracy of the best answer that does not look at the windows.
    """

    outcome: Callable[[UnspeechModel, tf.Tensor, tf.Tensor, tf.Tensor], Outcome]
    guessed: Callable[[Config], float]


OBJECTIVES: dict[str, Objective] = {
    "logistic": Objective(logistic, _larger_class),
    "infonce": Objective(infonce, lambda config: 1 / config.batch_size),
}
