"""How probable it is that a group of utterances is somebody else's, and what asking is worth.

In: features and sizes of groups, of `unspeech.listen.parts`, and the weights of the features.
Out: probabilities, and pairs of utterances that an answer is expected to put right.
"""

import numpy as np
from scipy.special import expit

from unspeech.listen.parts import ALONE, JOINS, MOVES


def chances_of(features: np.ndarray, offsets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(…, 4) probabilities: STAYS, MOVES and ALONE sum to 1, JOINS is beside them."""
    logits = features @ weights + offsets
    three = np.exp(logits[..., :JOINS] - logits[..., :JOINS].max(axis=-1, keepdims=True))
    three /= three.sum(axis=-1, keepdims=True)
    return np.concatenate([three, expit(logits[..., JOINS:])], axis=-1)


def across(chances: np.ndarray) -> np.ndarray:
    """Probability that a group and the other speaker are one."""
    joins = chances[..., JOINS]
    return joins + (1 - joins) * chances[..., MOVES]


def worth_of(chances: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each group: what its better question is worth, whether that is within the speaker, and
    whether by the answer that it is one all of the speaker joins the other, not the group alone."""
    own, rest, other = sizes.T.astype(np.float64)
    moves, alone, joins = chances[:, MOVES], chances[:, ALONE], chances[:, JOINS]
    joins = np.where(own >= rest, joins, 0)  # a small group does not stand for the speaker
    goes = (1 - joins) * moves
    all_join = joins * (own + rest) * other + goes * (own - rest) * other
    group_moves = goes * own * (other + rest) + joins * own * (other - rest)
    parting = (moves + alone) * own * rest
    parting += np.where(moves > alone, (moves - alone) * own * other, 0)
    parting[rest == 0] = -1
    across = np.maximum(all_join, group_moves)
    within = parting > across
    return np.maximum(parting, across), within, all_join >= group_moves
