"""Objectives: what training makes small, by name.

A new objective is one function and one line in `OBJECTIVES`. Each takes the model and the
embeddings of targets and contexts, as every window is embedded once a step, and forms its pairs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from unspeech.network.backend import tf
from unspeech.network.config import Config
from unspeech.network.model import UnspeechModel

STUDENT_TEMPERATURE, TEACHER_TEMPERATURE = 0.1, 0.04  # of dino
SINKHORN_ITERATIONS = 3
EXAMPLES = 20  # answers that a report shows
FAR = 1e9  # what is taken off a logit that is not to count; beyond any logit, yet no infinity


@dataclass(frozen=True)
class Taught:
    """What a teacher, the moving average of the model in training, makes of the same windows.

    Attributes:
        model: the teacher.
        targets: (batch, 1, embedding) float32.
        contexts: (batch, contexts, embedding) float32.
    """

    model: UnspeechModel
    targets: tf.Tensor
    contexts: tf.Tensor


@dataclass(frozen=True)
class Outcome:
    """What an objective says of one step.

    Attributes:
        loss: () float32.
        accuracy: () float32, fraction of right answers.
        examples: (examples, 2) int32, the right answer and the one given, of the first draws.
    """

    loss: tf.Tensor
    accuracy: tf.Tensor
    examples: tf.Tensor


def logistic(
    model: UnspeechModel,
    targets: tf.Tensor,
    contexts: tf.Tensor,
    negatives: tf.Tensor,
    groups: tf.Tensor,
    taught: None = None,
) -> Outcome:
    """Logistic loss on the logits of pairs, mean over positive and negative ones.

    Args:
        model: what gives a pair's logit, and the settings.
        targets: (batch, 1 or 1 + contexts, embedding) float32, see `UnspeechModel.embed_batch`.
        contexts: (batch, contexts, embedding) float32.
        negatives: (pairs, 2) int32, see `sampling.Batch`.
        groups: not used, as `negatives` join different ones.
        taught: not used.
    Answers are 1 for positive and 0 for negative pairs.

    Source: Milde and Biemann 2018, equation 1.
    """
    del groups, taught
    config = model.config
    positive = tf.reshape(model.pair_logits(targets[:, :1], contexts), [-1])
    rows = negatives[:, 0] // (1 if config.targets_anywhere else 1 + config.contexts)
    negative = model.pair_logits(
        tf.gather(_rows(targets), rows), tf.gather(_rows(contexts), negatives[:, 1])
    )
    logits = tf.concat([positive, negative], axis=0)
    labels = tf.concat([tf.ones_like(positive), tf.zeros_like(negative)], axis=0)
    sizes = [positive.shape[0], negative.shape[0]]
    losses = tf.nn.weighted_cross_entropy_with_logits(
        labels, logits, pos_weight=positive_weight(config)
    )
    # Positive and negative pairs in turns, as many as a draw has of each.
    draws = [
        tf.concat([tf.reshape(part, [targets.shape[0], -1]) for part in tf.split(values, sizes)], 1)
        for values in (labels, tf.cast(logits > 0, tf.float32))
    ]
    return _outcome(losses, *(tf.reshape(values, [-1]) for values in draws))


def infonce(
    model: UnspeechModel,
    targets: tf.Tensor,
    contexts: tf.Tensor,
    negatives: tf.Tensor,
    groups: tf.Tensor,
    taught: None = None,
) -> Outcome:
    """Find each target's context among those of the batch, and each context's target.

    Cross-entropy of a softmax over dot products, in both directions; `negatives` are not used, as
    all pairs of a target and another's context are negative, but for those of two draws of one
    group (see `sampling.Batch`), which are left out of the softmax. With `unit_normalize`, the
    trained factor of `unit_normalize_var` makes the temperature. `margin` is taken off the cosines
    of positive pairs, so that they must stand out by it. Answers are numbers of draws.

    Source: van den Oord et al. 2018, equation 4; Chen et al. 2020, SimCLR; the margin: Wang et al.
    2018, CosFace.
    """
    del negatives, taught
    config = model.config
    batch = targets.shape[0]
    margin = config.margin * model.squared_scale() * tf.eye(batch)
    alike = tf.cast(groups[:, None] == groups, tf.float32) - tf.eye(batch)
    answers = tf.range(batch)
    losses, given = [], []
    for position in range(config.contexts):
        logits = tf.matmul(targets[:, 0], contexts[:, position], transpose_b=True) - margin
        logits -= FAR * alike
        for scores in (logits, tf.transpose(logits)):
            losses.append(tf.nn.sparse_softmax_cross_entropy_with_logits(answers, scores))
            given.append(tf.argmax(scores, axis=1))
    return _outcome(losses, tf.tile(answers, [len(given)]), tf.concat(given, axis=0))


def dino(
    model: UnspeechModel,
    targets: tf.Tensor,
    contexts: tf.Tensor,
    negatives: tf.Tensor,
    groups: tf.Tensor,
    taught: Taught,
) -> Outcome:
    """Give a context the prototypes that the teacher gives its target, and the other way round.

    No negative pairs, so `groups` do not matter. The teacher's answers are sharpened by a low
    temperature, and centred so that a batch uses all prototypes alike, which keeps them from
    becoming all the same. Answers are numbers of prototypes.

    Source: Caron et al. 2021, DINO; the centring by Sinkhorn and Knopp's iterations: Oquab et al.
    2023, DINOv2.
    """
    del negatives, groups
    losses, right, given = [], [], []
    for position in range(model.config.contexts):
        views = [
            (targets[:, 0], taught.targets[:, 0]),
            (contexts[:, position], taught.contexts[:, position]),
        ]
        for (student, _), (_, teacher) in (views, views[::-1]):
            answers = _balanced(taught.model.prototype_scores(teacher) / TEACHER_TEMPERATURE)
            scores = model.prototype_scores(student) / STUDENT_TEMPERATURE
            losses.append(tf.nn.softmax_cross_entropy_with_logits(answers, scores))
            right.append(tf.argmax(answers, axis=1))
            given.append(tf.argmax(scores, axis=1))
    return _outcome(losses, tf.concat(right, axis=0), tf.concat(given, axis=0))


def _balanced(scores: tf.Tensor) -> tf.Tensor:
    """(batch, prototypes) logits to probabilities that use every prototype as often."""
    for _ in range(SINKHORN_ITERATIONS):
        scores -= tf.reduce_logsumexp(scores, axis=0, keepdims=True)
        scores -= tf.reduce_logsumexp(scores, axis=1, keepdims=True)
    return tf.stop_gradient(tf.exp(scores))


def _rows(embeddings: tf.Tensor) -> tf.Tensor:
    """(batch, windows, embedding) to (batch * windows, embedding)."""
    return tf.reshape(embeddings, [-1, embeddings.shape[-1]])


def _outcome(losses, right: tf.Tensor, given: tf.Tensor) -> Outcome:
    """Of all losses, and of (answers,) right and given ones."""
    answers = tf.stack([tf.cast(right, tf.int32), tf.cast(given, tf.int32)], axis=1)
    accuracy = tf.reduce_mean(tf.cast(answers[:, 0] == answers[:, 1], tf.float32))
    return Outcome(tf.reduce_mean(losses), accuracy, answers[:EXAMPLES])


def positive_weight(config: Config) -> float:
    """What a positive pair counts for in the logistic loss; a negative one counts for 1."""
    return config.negative_samples / config.contexts if config.use_weighted_loss_func else 1.0


def _chance_of_class(config: Config, size: int) -> tuple[float, float]:
    del size
    pairs = config.contexts, config.negative_samples
    weights = positive_weight(config) * pairs[0], pairs[1]
    surprise = -sum(w * math.log(w / sum(weights)) for w in weights if w)
    return max(pairs) / sum(pairs), surprise / sum(pairs)


def _chance_of_one(count: int) -> tuple[float, float]:
    return 1 / count, math.log(count)


@dataclass(frozen=True)
class Objective:
    """What training makes small.

    Attributes:
        outcome: of (model, targets, contexts, negatives, groups, taught).
        chance: accuracy and loss of the best answer that does not look at the windows, in batches
            of so many draws.
        pairs: how many positive and negative pairs a step has.
        has_teacher: whether `taught` is needed.
        has_negatives: whether it needs draws of two groups.
    """

    outcome: Callable[..., Outcome]
    chance: Callable[[Config, int], tuple[float, float]]
    pairs: Callable[[Config], int]
    has_teacher: bool = False
    has_negatives: bool = True


OBJECTIVES: dict[str, Objective] = {
    "logistic": Objective(
        logistic,
        _chance_of_class,
        lambda config: config.batch_size * (config.contexts + config.negative_samples),
    ),
    "infonce": Objective(
        infonce,
        lambda config, size: _chance_of_one(size),
        lambda config: config.contexts * config.batch_size**2,
    ),
    "dino": Objective(
        dino,
        lambda config, size: _chance_of_one(config.prototypes),
        lambda config: config.batch_size * config.contexts,
        has_teacher=True,
        has_negatives=False,
    ),
}
