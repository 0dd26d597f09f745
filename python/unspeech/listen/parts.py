"""The parts of a speaker that may be somebody else's.

In: a speaker's vectors, their neighbours, and what a listener has said of them.
Out: groups of its utterances, the speaker that each may belong to instead, and features by which
`unspeech.listen.questions` tells how probable that is.
"""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.sparse import csr_array

from unspeech.corrections.speakers import Speakers
from unspeech.listen.likeness import Likeness, Sizes

LARGEST = 600  # utterances of a speaker that are grouped; others follow the nearest of them
NEAR = 20  # speakers that a group is compared with
MANY = 1000  # speakers of whom only some are looked at for NEAR ones of a group
SOME = 100  # of them: the nearest to the whole speaker, beside those that its neighbours are of
# A group is of its speaker, of the other one, or of neither; and whether the two speakers are one.
STAYS, MOVES, ALONE, JOINS = 0, 1, 2, 3
# What is known of a group; a weight for each is learnt.
FEATURES = (
    "stays", "stays, ratio", "stays, neighbours", "stays, size",
    "moves", "moves, ratio", "moves, neighbours", "moves, size",
    "joins", "joins, ratio", "joins, neighbours", "sizes",
)  # fmt: skip
REFUSED = 1.0  # what each speaker that was ruled out takes from the chance of the next one


@dataclass(frozen=True)
class Parts:
    """Groups of one speaker's utterances; the last is all of them.

    Attributes:
        speaker: label.
        inside: (groups, chosen) bool, of some members; the others are where those are.
        follows: (members,) int16, which of the chosen each member goes with.
        others: (groups,) label of the speaker that it may belong to; -1: there is none.
        sizes: (groups, 3) utterances of the group, of the rest, and of the other speaker.
        features: (groups, 4, len(FEATURES)) of STAYS, MOVES, ALONE and JOINS.
        offsets: (groups, 4) to be added to their logits; -inf for what cannot be.
    """

    speaker: int
    inside: np.ndarray
    follows: np.ndarray
    others: np.ndarray
    sizes: np.ndarray
    features: np.ndarray
    offsets: np.ndarray

    def only(self, groups: np.ndarray) -> "Parts":
        """Some of the groups."""
        arrays = (self.others, self.sizes, self.features, self.offsets)
        chosen = (array[groups] for array in arrays)
        return Parts(self.speaker, self.inside[groups], self.follows, *chosen)

    def members_in(self, group: int) -> np.ndarray:
        """(members,) bool, those of a group."""
        return self.inside[group][self.follows]


@dataclass
class Voices:
    """All speakers: how many utterances each has and their projected mean.

    Attributes:
        vectors: (utterances, dim).
        neighbours: (utterances, k) numbers of the nearest utterances; -1 where there are fewer.
    """

    speakers: Speakers
    vectors: np.ndarray
    neighbours: np.ndarray
    model: Likeness
    usual: Sizes
    labels: np.ndarray  # (speakers,) those that may be changed
    counts: np.ndarray  # (speakers,)
    means: np.ndarray  # (speakers, dim)


def group_members(
    vectors: np.ndarray, members: np.ndarray, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Group a speaker's utterances by Ward's method, or some of them if they are many.

    Args:
        vectors: (utterances, dim) of all speakers.
        members: (members,) numbers of the speaker's utterances.
    Returns:
        (groups, chosen) bool, single ones first; (members,) int16, which of the chosen ones, the
        nearest, each member goes with.
    """
    count = len(members)
    follows = np.arange(min(count, LARGEST), dtype=np.int16)
    if count == 1:
        return np.ones((1, 1), bool), follows
    chosen = np.arange(count)
    if count > LARGEST:
        chosen = np.sort(np.random.default_rng(seed).choice(count, LARGEST, replace=False))
        sample = np.asarray(vectors[members[chosen]], np.float64)
        squares, follows = (sample**2).sum(axis=1), np.empty(count, np.int16)
        for block in _blocks(count):
            away = squares - 2 * np.asarray(vectors[members[block]], np.float64) @ sample.T
            follows[block] = away.argmin(axis=1)
    tree = linkage(np.asarray(vectors[members[chosen]], np.float64), "ward")
    inside = np.zeros((2 * len(chosen) - 1, len(chosen)), bool)
    inside[np.arange(len(chosen)), np.arange(len(chosen))] = True
    for node, (left, right) in enumerate(tree[:, :2].astype(int), start=len(chosen)):
        inside[node] = inside[left] | inside[right]
    return inside, follows


def _blocks(count: int) -> list[slice]:
    """A speaker of a million is gone through by parts, to bound the memory."""
    return [slice(start, start + 8192) for start in range(0, count, 8192)]


def _sums_of_chosen(
    voices: Voices, members: np.ndarray, follows: np.ndarray, chosen: int
) -> np.ndarray:
    """(chosen, dim) projected vectors of the members that go with each, summed up."""
    sums = 0
    for block in _blocks(len(members)):
        points = voices.model.project(voices.vectors[members[block]])
        places = (follows[block], np.arange(len(points)))
        sums = sums + csr_array((np.ones(len(points)), places), (chosen, len(points))) @ points
    return sums


def find_parts(voices: Voices, label: int) -> Parts:
    """Group a speaker's utterances, and find where else each group may belong."""
    speakers, model = voices.speakers, voices.model
    members = speakers.members(label)
    inside, follows = group_members(voices.vectors, members)
    weights, count, chosen = inside.astype(np.float64), len(members), inside.shape[1]
    own = inside @ np.bincount(follows, minlength=chosen)
    rest = count - own

    together, forced, refused = _said(speakers, members, inside, follows)
    kept = ~together & (own > 0)
    inside, weights, own, rest = inside[kept], weights[kept], own[kept], rest[kept]
    forced, refused = forced[kept], refused[kept]

    points = _sums_of_chosen(voices, members, follows, chosen)
    means = weights @ points / own[:, None]
    left = (points.sum(axis=0) - weights @ points) / np.maximum(rest, 1)[:, None]
    stay = model.ratio(means, own, left, np.maximum(rest, 1))
    near = voices.neighbours[members]
    theirs = np.where(near >= 0, speakers.labels[near], -1)
    others, ratio, joint, sizes = _nearest(voices, label, means, own, refused, theirs)

    links = _links(_position(members, near), follows, chosen)
    within = ((weights @ links) * weights).sum(axis=1)
    out = weights @ links.sum(axis=1) - within
    back = weights @ links.sum(axis=0) - within
    away = near.shape[1] * own - within + 1
    expected = 2 * own * near.shape[1] * rest / max(count - 1, 1)
    kinds, which = np.unique(theirs, return_inverse=True)
    counts = np.zeros((chosen, len(kinds)))
    np.add.at(counts, (follows[:, None], which.reshape(theirs.shape)), 1)
    at = np.searchsorted(kinds, others).clip(max=len(kinds) - 1)
    there = kinds[at] == others
    rows = np.arange(len(own))

    usual, one = voices.usual, np.ones(len(own))
    features = np.zeros((len(own), 4, len(FEATURES)))
    stays = [one, _soft(stay), np.log((out + back + 0.5) / (expected + 0.5)), np.log(own)]
    features[:, STAYS, :4] = np.stack(stays, axis=1)
    towards = np.log(((weights @ counts)[rows, at] * there + 0.5) / away)
    features[:, MOVES, 4:8] = np.stack([one, _soft(ratio), towards, np.log(own)], axis=1)
    towards = np.log((counts.sum(axis=0)[at] * there + 0.5) / (away[-1]))
    features[:, JOINS, 8:11] = np.stack([one, _soft(joint), towards], axis=1)
    features[:, STAYS, 11] = usual(own + rest) + usual(sizes)
    features[:, MOVES, 11] = usual(rest) + usual(own + sizes)
    features[:, ALONE, 11] = usual(own) + usual(rest) + usual(sizes)
    features[:, JOINS, 11] = usual(own + rest + sizes) - usual(own + rest) - usual(sizes)
    offsets = np.zeros((len(own), 4))
    offsets[(rest == 0) | forced, STAYS] = -np.inf
    before = -REFUSED * np.log1p(refused.sum(axis=1))
    offsets[:, MOVES] = np.where((others >= 0) & (rest > 0), before, -np.inf)
    ruled_out = np.any(refused, axis=0)[np.maximum(others, 0)]
    before = -REFUSED * np.log1p(refused[-1].sum())
    offsets[:, JOINS] = np.where((others >= 0) & ~ruled_out, before, -np.inf)
    features[np.isinf(offsets)] = 0
    return Parts(
        label, inside, follows, others, np.stack([own, rest, sizes], axis=1), features, offsets
    )


def _soft(ratio: np.ndarray) -> np.ndarray:
    """Ratios whose large values count less."""
    return np.arcsinh(ratio / 10)


def _position(members: np.ndarray, who: np.ndarray) -> np.ndarray:
    """Where utterances stand among a speaker's; -1 for those of others."""
    place = np.searchsorted(members, who).clip(max=len(members) - 1)
    return np.where(members[place] == who, place, -1)


def _said(
    speakers: Speakers, members: np.ndarray, inside: np.ndarray, follows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each group: whether a pair of one speaker lies across it, a pair of two, and (groups,
    speakers) with which other speakers such pairs of two are."""
    together, forced = np.zeros(len(inside), bool), np.zeros(len(inside), bool)
    refused = np.zeros((len(inside), len(speakers.ids)), bool)
    for pairs, across in ((speakers.same, together), (speakers.different, forced)):
        both = np.array(pairs, int).reshape(-1, 2)
        both = np.concatenate([both, both[:, ::-1]])
        place = _position(members, both)
        for (first, second), (_, other) in zip(
            place[place[:, 0] >= 0].tolist(), both[place[:, 0] >= 0].tolist(), strict=True
        ):
            group = inside[:, follows[first]]
            if second >= 0:
                across |= group & ~inside[:, follows[second]]
            elif pairs is speakers.different and speakers.labels[other] >= 0:
                refused[:, speakers.labels[other]] |= group
    return together, forced, refused


def _nearest(
    voices: Voices,
    label: int,
    means: np.ndarray,
    own: np.ndarray,
    refused: np.ndarray,
    theirs: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each group, of which the last is all: the most likely other speaker, the ratio, that of
    all and the same speaker, and how many utterances it has."""
    possible = np.flatnonzero(voices.labels != label)
    low = np.full(len(own), -50.0)
    none = np.full(len(own), -1), low, low, np.zeros(len(own), int)
    if not len(possible):
        return none
    if len(possible) > MANY:
        there = voices.means
        away = np.einsum("sd,sd->s", there, there) - 2 * there @ means[-1]
        close = np.isin(voices.labels, theirs)
        close[np.argpartition(away, SOME)[:SOME]] = True
        possible = np.flatnonzero(close & (voices.labels != label))
    means_there = voices.means[possible]
    away = (means_there**2).sum(axis=1) - 2 * means @ means_there.T
    away[refused[:, voices.labels[possible]]] = np.inf
    near = min(NEAR, len(possible))
    first = np.argpartition(away, near - 1, axis=1)[:, :near]
    which = possible[first]
    ratio = voices.model.ratio(
        means[:, None], own[:, None], voices.means[which], voices.counts[which]
    )
    ratio[np.isinf(np.take_along_axis(away, first, axis=1))] = -np.inf
    best = ratio.argmax(axis=1)
    rows = np.arange(len(own))
    found = ratio[rows, best]
    chosen = which[rows, best]
    sizes = voices.counts[chosen]
    joint = voices.model.ratio(
        means[-1][None], np.full(len(own), own[-1]), voices.means[chosen], sizes
    )
    there = np.isfinite(found)
    values = voices.labels[chosen], found, joint, sizes
    return tuple(np.where(there, value, other) for value, other in zip(values, none, strict=True))


def _links(places: np.ndarray, follows: np.ndarray, chosen: int) -> csr_array:
    """(chosen, chosen) how often a member that goes with the second is a neighbour of one of the
    first's."""
    rows = np.broadcast_to(follows[:, None], places.shape)[places >= 0]
    ones = np.ones(len(rows))
    return csr_array((ones, (rows, follows[places[places >= 0]])), shape=(chosen, chosen))
