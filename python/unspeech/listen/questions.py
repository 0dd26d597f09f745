"""Which question to a listener is worth most.

In: speakers, vectors and neighbours of the utterances; then answers, one by one.
Out: pairs of utterances of which a listener may say whether one speaker said both, and what becomes
of the speakers by either answer. Worth is the number of pairs of utterances that an answer is
expected to put right. How probable the answers are is learnt from those that were given.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

from unspeech.corrections.speakers import Speakers
from unspeech.listen.chances import across, chances_of, worth_of
from unspeech.listen.likeness import Likeness, Sizes
from unspeech.listen.parts import (
    ALONE,
    FEATURES,
    JOINS,
    MOVES,
    STAYS,
    Parts,
    Voices,
    find_parts,
)

# Weights before any answer, and how far from them answers are expected to lead. Fitted to the
# groups of `emodb` and the training part of SpeechOcean762, and rounded.
WEIGHTS = np.array([0.8, 0.25, 1.9, -0.4, -0.5, 0.4, 0.6, 0.45, -1.6, -0.65, 0.7, 0.6])
SPREAD = np.array([1.0, 0.5, 0.5, 0.5, 1.0, 0.5, 0.5, 0.5, 1.0, 0.5, 0.5, 0.3])
AT_ONCE = 200  # speakers whose parts are looked at in one call, the largest first
_THREADS = ThreadpoolController()  # small products: several threads would wait for each other
STEPS = 10  # of the search for weights after an answer
KEPT = 24  # groups of a speaker, those that are worth most
AGAIN = 25  # answers after which what speakers sound like is learnt again


@dataclass(frozen=True)
class Question:
    """Whether one speaker said two utterances, and what follows from the answers.

    Attributes:
        a, b: numbers of the utterances, the most typical ones of two groups.
        part: numbers of the utterances of a's group, which is a part of a speaker or all of it.
        within: whether b is of the same speaker, else of another one.
        to: label of the speaker to which the part goes if a and b are of two speakers, -1 for a
            new one; only within a speaker.
        joins: whether all of a's speaker joins b's if a and b are of one, not the part alone.
        same: probability that it is one speaker.
        worth: pairs of utterances that an answer is expected to put right.
    """

    a: int
    b: int
    part: np.ndarray
    within: bool
    to: int
    joins: bool
    same: float
    worth: float
    features: np.ndarray  # (4, len(FEATURES)) from which the answer is learnt
    offsets: np.ndarray  # (4,)

    def key(self) -> tuple[int, int]:
        return min(self.a, self.b), max(self.a, self.b)

    def action(self, speakers: Speakers, same: bool) -> dict:
        """The action, see `unspeech.corrections.actions`, that an answer is."""
        names = speakers.utterances
        action = {"action": "same" if same else "different", "a": names[self.a], "b": names[self.b]}
        moves = not self.joins if same and not self.within else self.within and not same
        action["part"] = [names[i] for i in self.part] if moves else None
        if not same:
            goes = moves and self.to >= 0
            action["to"] = names[speakers.members(self.to)[0]] if goes else None
        return action


class Questions:
    """All questions about a corpus, the most worthwhile first.

    Args:
        speakers: as they are; after each change, `changed` is to be called.
        vectors: (utterances, dim).
        neighbours: (utterances, k) numbers of the nearest other utterances; -1 for none.
    """

    def __init__(self, speakers: Speakers, vectors: np.ndarray, neighbours: np.ndarray) -> None:
        self.speakers, self.weights = speakers, WEIGHTS.copy()
        self.vectors, self.neighbours = vectors, neighbours
        self._sums: dict[int, np.ndarray] = {}  # of the vectors of a speaker
        self._answers: list[tuple[np.ndarray, np.ndarray, bool, bool]] = []
        order = np.argsort(speakers.labels, kind="stable")
        for start in range(0, len(order), 1 << 16):
            self._add_up(order[start : start + (1 << 16)])
        self._parts: dict[int, Parts] = {}
        self._missing: list[int] = []  # speakers whose parts are not known
        self._near: dict[int, set[int]] = {}  # speakers that parts of a speaker may belong to
        self._fit()

    @_THREADS.wrap(limits=1, user_api="blas")
    def _fit(self) -> None:
        """Learn what speakers sound like, as they are now."""
        speakers = self.speakers
        self._voices = Voices(
            *(speakers, self.vectors, self.neighbours, Likeness(self.vectors, speakers.labels)),
            Sizes(len(speakers.members(label)) for label in speakers.present()),
            *(np.empty(0, int), np.empty(0, int), np.empty((0, self.vectors.shape[1]))),
        )
        self._stale = True

    def _add_up(self, who: np.ndarray) -> None:
        labels = self.speakers.labels[who]
        starts = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
        sums = np.add.reduceat(np.asarray(self.vectors[who], np.float64), starts, axis=0)
        for label, total in zip(labels[starts].tolist(), sums, strict=True):
            if label >= 0:
                self._sums[label] = self._sums.get(label, 0) + total

    def changed(self, labels: Collection[int]) -> None:
        """Take notice that speakers have changed."""
        for label in labels:
            members = self.speakers.members(label)
            self._sums.pop(label, None)
            self._parts.pop(label, None)
            if len(members):
                self._sums[label] = np.asarray(self.vectors[members], np.float64).sum(axis=0)
        gone = set(labels)
        for label in [label for label in self._parts if self._near[label] & gone]:
            del self._parts[label]
        self._stale = True

    @_THREADS.wrap(limits=1, user_api="blas")
    def learn(self, question: Question, same: bool) -> None:
        """Take an answer into account for what is probable."""
        self._answers.append((question.features, question.offsets, question.within, same))
        features, offsets, within, yes = map(np.array, zip(*self._answers, strict=True))

        def cost(weights: np.ndarray) -> tuple[float, np.ndarray]:
            chances = chances_of(features, offsets, weights)
            three, joins = chances[:, :JOINS], chances[:, JOINS]
            mean = np.einsum("nh,nhf->nf", three, features[:, :JOINS])
            slopes = three[..., None] * (features[:, :JOINS] - mean[:, None])
            asked = np.where(within, chances[:, STAYS], across(chances))
            joining = (joins * (1 - joins) * (1 - chances[:, MOVES]))[:, None] * features[:, JOINS]
            moving = (1 - joins)[:, None] * slopes[:, MOVES]
            slope = np.where(within[:, None], slopes[:, STAYS], joining + moving)
            asked = np.clip(asked, 1e-6, 1 - 1e-6)
            told = np.where(yes, np.log(asked), np.log1p(-asked)).sum()
            factors = np.where(yes, 1 / asked, -1 / (1 - asked))
            away = (weights - WEIGHTS) / SPREAD
            return 0.5 * away @ away - told, away / SPREAD - factors @ slope

        found = minimize(
            cost, self.weights, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}
        )
        self.weights = found.x
        if len(self._answers) % AGAIN == 0:
            self._fit()
            if len(self._parts) <= AT_ONCE:  # more would take long, and have changed little
                self._parts.clear()

    def best(
        self, count: int = 1, without: Collection[tuple[int, int]] = (), look: int = AT_ONCE
    ) -> list[Question]:
        """The questions that are worth most, of different speakers.

        Args:
            count: how many at most.
            without: keys of questions that are not to be asked.
            look: see `look`.
        """
        self.look(look)
        if not self._parts:
            return []
        parts = list(self._parts.values())
        owners = np.repeat(np.arange(len(parts)), [len(part.others) for part in parts])
        groups = np.concatenate([np.arange(len(part.others)) for part in parts])
        chances = chances_of(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.offsets for part in parts]),
            self.weights,
        )
        worth, within, joins = worth_of(chances, np.concatenate([part.sizes for part in parts]))
        found: list[Question] = []
        seen: set[int] = set()
        asked = set(without)
        for row in np.argsort(-worth, kind="stable"):
            if len(found) == count or worth[row] <= 0:
                break
            part, group = parts[owners[row]], groups[row]
            if part.speaker in seen:
                continue
            question = self._ask(
                part, group, within[row], joins[row], chances[row], float(worth[row])
            )
            if question.key() in asked:
                continue
            found.append(question)
            asked.add(question.key())
            seen |= {part.speaker, int(part.others[group])}
        return found

    def any(self, rng: np.random.Generator) -> Question | None:
        """One of all questions by chance, to compare with."""
        self.look(AT_ONCE)
        parts = [part for part in self._parts.values() if len(part.others)]
        while parts:
            part = parts[rng.integers(len(parts))]
            group = rng.integers(len(part.others))
            chances = chances_of(part.features[[group]], part.offsets[[group]], self.weights)
            worth, within, joins = worth_of(chances, part.sizes[[group]])
            if within[0] or part.others[group] >= 0:
                return self._ask(part, group, within[0], joins[0], chances[0], float(worth[0]))
        return None

    def membership(self, a: int) -> Question | None:
        """Whether an utterance belongs where it is; if not, it leaves."""
        label = int(self.speakers.labels[a])
        members = self.speakers.members(label)
        if label < 0 or len(members) < 2:
            return None
        nothing = np.zeros((4, len(FEATURES))), np.zeros(4)
        b = self.typical(members[members != a])
        return Question(a, b, np.array([a]), True, -1, False, 0.5, 0.0, *nothing)

    def _ask(
        self, part: Parts, group: int, within: bool, joins: bool, chances: np.ndarray, worth: float
    ) -> Question:
        members = self.speakers.members(part.speaker)
        inside, other = part.members_in(group), int(part.others[group])
        a = self.typical(members[inside])
        b = self.typical(members[~inside] if within else self.speakers.members(other))
        same = float(chances[STAYS] if within else across(chances))
        goes = within and chances[MOVES] > chances[ALONE]
        return Question(
            *(a, b, members[inside], bool(within), other if goes else -1, bool(joins), same, worth),
            *(part.features[group], part.offsets[group]),
        )

    def typical(self, who: np.ndarray) -> int:
        """The utterance that is nearest to the mean of some."""
        vectors = np.asarray(self.vectors[who], np.float64)
        return int(who[np.argmin(np.square(vectors - vectors.mean(axis=0)).sum(axis=1))])

    def known(self) -> int:
        """Of how many speakers the parts are known."""
        return len(self._parts)

    @_THREADS.wrap(limits=1, user_api="blas")
    def look(self, most: int) -> bool:
        """Find the parts of speakers that have changed or were not looked at, the largest first.

        Args:
            most: how many speakers are looked at.
        Returns: whether any are left.
        """
        speakers = self.speakers
        if self._stale:
            free = [label for label in speakers.present() if label not in speakers.locked]
            counts = np.array([len(speakers.members(label)) for label in free], int)
            sums = np.array([self._sums[label] for label in free])
            sums = sums.reshape(len(free), self.vectors.shape[1])
            means = self._voices.model.project(sums / counts[:, None]) if free else sums
            self._voices.labels, self._voices.counts = np.array(free, int), counts
            self._voices.means = means
            for label in speakers.locked & self._parts.keys():
                del self._parts[label]
            self._missing = [label for label in free if label not in self._parts]
            self._missing.sort(key=lambda label: (-len(speakers.members(label)), label))
            self._stale = False
        now, self._missing = self._missing[:most], self._missing[most:]
        for label in now:
            parts = find_parts(self._voices, label)
            chances = chances_of(parts.features, parts.offsets, self.weights)
            worth = worth_of(chances, parts.sizes)[0]
            self._parts[label] = parts.only(np.sort(np.argsort(-worth, kind="stable")[:KEPT]))
            self._near[label] = set(self._parts[label].others.tolist())
        return bool(self._missing)
