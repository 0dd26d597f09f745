"""Which windows a training step sees: targets, their contexts, and negative pairs.

A step's windows depend on the seed and the step's number alone, so a run that was killed sees
after its restart what it would have seen without it.
"""

from dataclasses import dataclass

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.kaldi.alignments import Unit
from unspeech.kaldi.corpus import Corpus, pad_windows
from unspeech.network.config import SPEAKER_DRAWS, Config
from unspeech.training.groupings import split_heldout, usable_utterances

TRAIN_STREAM, HELDOUT_STREAM = 0, 1  # of random numbers


@dataclass(frozen=True)
class Batch:
    """The windows of one step, and which of them form negative pairs.

    Attributes:
        targets: (batch, frames, dim) float32.
        contexts: (batch, contexts, frames, dim) float32; `targets[i]` with each of
            `contexts[i]` is a positive pair.
        target_lengths: (batch,) int32 frames of each target; what follows them is zero.
        context_lengths: (batch, contexts) int32 likewise.
        negatives: (pairs, 2) int32, negative pairs of a window that is embedded as a target, a row
            of all windows seen as (batch * (1 + contexts), …), each target before its contexts,
            and one that is embedded as a context, a row of `contexts` seen as (batch * contexts,
            …); never both of the same draw, nor of two draws of one group where there is another.
        groups: (batch,) int32, alike for draws that share their context, so that no window of one
            is a negative of another's: of one utterance, or of one group where they are given.
    """

    targets: np.ndarray
    contexts: np.ndarray
    target_lengths: np.ndarray
    context_lengths: np.ndarray
    negatives: np.ndarray
    groups: np.ndarray

    def negative_target(self, pair: int) -> np.ndarray:
        """(frames, dim) of the window that is the target of a negative pair."""
        draw, place = divmod(int(self.negatives[pair, 0]), 1 + self.contexts.shape[1])
        if place == 0:
            return self.targets[draw, : self.target_lengths[draw]]
        return self.contexts[draw, place - 1, : self.context_lengths[draw, place - 1]]

    @property
    def windows(self) -> tuple[np.ndarray, ...]:
        """What `UnspeechModel.embed_batch` takes, in its order."""
        return self.targets, self.contexts, self.target_lengths, self.context_lengths


class ContextSampler:
    """Draw targets with the context windows beside them, and negative pairs among all windows.

    Utterances are drawn uniformly, each at most once a batch where there are enough of them, and
    positions uniformly within the utterance. A negative pair joins a window of one draw (without
    `targets_anywhere` its target) with a context window of another. As every window was drawn at
    random, so is the pair; and as each is in the batch anyway, it costs a dot product. Source:
    Milde and Biemann 2018, section 2.

    With `speakers`, a batch is made of several draws of each of some speakers, and negative pairs
    join draws of one speaker; speakers of one utterance are left out. With `units`, windows are
    consecutive units of an alignment.

    Attributes:
        group_count: how many groups there are that draws can be of, see `Batch`.

    Args:
        corpus: features.
        indices: (n,) the utterances to draw from, all usable (see `usable_utterances`).
        config: settings.
        stream: names this sampler's sequence of random numbers, so that two samplers of one seed
            differ.
        speakers: the speaker of each utterance of the corpus, or None.
        units: units of each utterance of the corpus, or None.
        groups: what each utterance of the corpus shares its context with, or None: with them,
            contexts are windows from anywhere in the utterances of the target's group, from
            others than its own where there are any, and no group is drawn twice for a batch where
            there are enough.
    Raises:
        UnspeechError: when no speaker has two of the utterances.
    """

    def __init__(
        self,
        corpus: Corpus,
        indices: np.ndarray,
        config: Config,
        stream: int,
        speakers: list[str] | None = None,
        units: list[list[Unit]] | None = None,
        groups: list[str] | None = None,
    ) -> None:
        self._corpus, self._indices, self._config, self._stream = corpus, indices, config, stream
        self._lengths = corpus.lengths
        self._units = units
        # Negative pairs join two utterances of a speaker.
        self._speakers = [own for own in _by_name(indices, speakers) if len(own) > 1]
        if speakers is not None and not self._speakers:
            raise UnspeechError(
                f"{config.spk2utt}: no speaker has two usable utterances, for negative pairs: use "
                "more speech, or another heldout_fraction"
            )
        self._groups = _by_name(indices, groups)
        self.group_count = (
            len(self._groups) or sum(len(own) for own in self._speakers) or len(indices)
        )

    def batch(self, step: int, size: int | None = None) -> Batch:
        """The windows of one step; the same for the same seed, stream and step."""
        size = size or self._config.batch_size
        rng = np.random.default_rng((self._config.seed, self._stream, step))
        if self._groups:
            groups = choose(rng, len(self._groups), size)
            windows = self._cut_anywhere(rng, groups)
        else:
            groups = self._draw_utterances(rng, size)
            cut = self._cut_fixed if self._units is None else self._cut_units
            windows = cut(rng, groups)
        negatives = self._draw_negatives(rng, groups)
        return Batch(*windows, negatives, groups.astype(np.int32))

    def _draw_utterances(self, rng: np.random.Generator, size: int) -> np.ndarray:
        if not self._speakers:
            return self._indices[choose(rng, len(self._indices), size)]
        chosen = choose(rng, len(self._speakers), size // SPEAKER_DRAWS)
        speakers = [self._speakers[i] for i in chosen]
        return np.concatenate([_in_turn(rng, own, SPEAKER_DRAWS) for own in speakers])

    def _draw_negatives(self, rng: np.random.Generator, groups: np.ndarray) -> np.ndarray:
        config, size = self._config, len(groups)
        pairs = size * config.negative_samples
        if config.sample_2x_neg:
            target_draws = rng.integers(size, size=pairs)
        else:
            target_draws = np.repeat(np.arange(size), config.negative_samples)
        block = SPEAKER_DRAWS if self._speakers else size  # draws that may meet
        first = target_draws // block * block
        context_draws = first + (target_draws - first + rng.integers(1, block, size=pairs)) % block
        for i in np.flatnonzero(groups[target_draws] == groups[context_draws]):
            own = slice(first[i], first[i] + block)
            others = np.flatnonzero(groups[own] != groups[target_draws[i]])
            if len(others):
                context_draws[i] = first[i] + rng.choice(others)
        context_rows = context_draws * config.contexts + rng.integers(config.contexts, size=pairs)
        windows = 1 + config.contexts
        places = rng.integers(windows, size=pairs) if config.targets_anywhere else 0
        target_rows = target_draws * windows + places
        return np.stack([target_rows, context_rows], axis=1).astype(np.int32)

    def _cut_fixed(self, rng: np.random.Generator, utterances: np.ndarray) -> tuple:
        config = self._config
        length, step = config.window_length, config.window_neg_length
        target_at = config.left_contexts * step
        begins = rng.integers(self._lengths[utterances] - config.span + 1)
        context_at = [
            position * step if position < config.left_contexts else length + (position - 1) * step
            for position in context_positions(config)
        ]
        size, contexts = len(utterances), config.contexts
        rows = self._corpus.windows(utterances, begins, config.span)
        return (
            rows[:, target_at : target_at + length],
            np.stack([rows[:, at : at + step] for at in context_at], axis=1),
            np.full(size, length, np.int32),
            np.full((size, contexts), step, np.int32),
        )

    def _cut_anywhere(self, rng: np.random.Generator, groups: np.ndarray) -> tuple:
        config, size = self._config, len(groups)
        members = [self._groups[i] for i in groups]
        count = 1 + config.contexts
        utterances = np.stack([_and_others(rng.permutation(own), count) for own in members])
        lengths = [config.window_length] + [config.window_neg_length] * config.contexts
        begins = rng.integers(self._lengths[utterances] - np.array(lengths) + 1)
        targets = self._corpus.windows(utterances[:, 0], begins[:, 0], lengths[0])
        others = utterances[:, 1:].ravel(), begins[:, 1:].ravel()
        contexts = self._corpus.windows(*others, lengths[1])
        shape = (size, config.contexts)
        return (
            targets,
            contexts.reshape(*shape, *contexts.shape[1:]),
            np.full(size, lengths[0], np.int32),
            np.full(shape, lengths[1], np.int32),
        )

    def _cut_units(self, rng: np.random.Generator, utterances: np.ndarray) -> tuple:
        config = self._config
        row = config.left_contexts + 1 + config.right_contexts
        targets, contexts = [], []
        for utterance in utterances:
            units = self._units[utterance]
            first = rng.integers(len(units) - row + 1)
            features = self._corpus.features(utterance)
            cut = [features[unit.start : unit.end] for unit in units[first : first + row]]
            targets.append(cut[config.left_contexts])
            contexts += [cut[position] for position in context_positions(config)]
        padded, lengths = pad_windows(contexts)
        shape = (len(utterances), config.contexts)
        padded_targets, target_lengths = pad_windows(targets)
        return (
            padded_targets,
            padded.reshape(*shape, *padded.shape[1:]),
            target_lengths,
            lengths.reshape(shape),
        )


def _by_name(indices: np.ndarray, names: list[str] | None) -> list[np.ndarray]:
    """The indices of each name, sorted by name; none without names."""
    if names is None:
        return []
    own = np.array([names[i] for i in indices])
    order = np.argsort(own, kind="stable")
    begins = np.flatnonzero(own[order][1:] != own[order][:-1]) + 1
    return np.split(np.asarray(indices)[order], begins)


def context_positions(config: Config) -> list[int]:
    """Positions of the contexts in the row of windows, the target's being `left_contexts`."""
    target = config.left_contexts
    row = range(target + 1 + config.right_contexts)
    return [p for p in row if p < target - config.left_gap or p > target + config.right_gap]


def choose(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """`size` of range(count) at random, none twice where there are enough."""
    return rng.choice(count, size, replace=size > count)


def _in_turn(rng: np.random.Generator, own: np.ndarray, size: int) -> np.ndarray:
    """`size` of them at random, each as often as the others where there are not enough."""
    if size > len(own):
        return np.resize(rng.permutation(own), size)
    return own[choose(rng, len(own), size)]


def _and_others(own: np.ndarray, size: int) -> np.ndarray:
    """The first, and so many of the others that there are `size`; the first alone if it is."""
    others = own[1:] if len(own) > 1 else own
    return np.concatenate([own[:1], np.resize(others, size - 1)])


def first_batch(config: Config, corpus: Corpus, recordings: list[str], groupings: tuple) -> Batch:
    """The windows of the first training step.

    Args:
        recordings: the recording of each utterance.
        groupings: of `groupings_of`.
    """
    usable = usable_utterances(corpus, config, *groupings)
    train, _ = split_heldout(usable, recordings, config, groupings[0])
    return ContextSampler(corpus, train, config, TRAIN_STREAM, *groupings).batch(1)
