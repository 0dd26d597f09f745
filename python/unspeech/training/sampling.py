"""Which windows a training step sees: targets, their contexts, and negative pairs.

A step's windows depend on the seed and the step's number alone, so a run that was killed sees
after its restart what it would have seen without it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.kaldi.alignments import Unit, read_ctm
from unspeech.kaldi.copies import original_of, read_originals, without_speed
from unspeech.kaldi.features import Corpus
from unspeech.kaldi.tables import read_table, utt2spk_of
from unspeech.network.config import SPEAKER_DRAWS, Config


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
            is a negative of another's: of one utterance, or of one voice where there are voices.
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
    join draws of one speaker. With `units`, windows are consecutive units of an alignment.

    Attributes:
        groups: how many there are that draws can be of, see `Batch`.

    Args:
        corpus: features.
        indices: (n,) the utterances to draw from, all usable (see `usable_utterances`).
        config: settings.
        stream: names this sampler's sequence of random numbers, so that two samplers of one seed
            differ.
        speakers: the speaker of each utterance of the corpus, or None.
        units: units of each utterance of the corpus, or None.
        voices: what each utterance of the corpus shares its context with, or None: with them,
            contexts are windows from anywhere in the utterances of the target's voice, from
            others than its own where there are any, and no voice is drawn twice for a batch where
            there are enough.
    """

    def __init__(
        self,
        corpus: Corpus,
        indices: np.ndarray,
        config: Config,
        stream: int,
        speakers: list[str] | None = None,
        units: list[list[Unit]] | None = None,
        voices: list[str] | None = None,
    ) -> None:
        self._corpus, self._indices, self._config, self._stream = corpus, indices, config, stream
        self._lengths = corpus.lengths
        self._units = units
        self._speakers = _by_name(indices, speakers)
        self._voices = _by_name(indices, voices)
        self.groups = len(self._voices) or len(indices)

    def batch(self, step: int, size: int | None = None) -> Batch:
        """The windows of one step; the same for the same seed, stream and step."""
        size = size or self._config.batch_size
        rng = np.random.default_rng((self._config.seed, self._stream, step))
        if self._voices:
            groups = choose(rng, len(self._voices), size)
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
        return np.concatenate([own[choose(rng, len(own), SPEAKER_DRAWS)] for own in speakers])

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
        voices = [self._voices[i] for i in groups]
        count = 1 + config.contexts
        utterances = np.stack([np.resize(rng.permutation(voice), count) for voice in voices])
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


def pad_windows(windows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Stack windows of any length, zeros after the shorter ones.

    Returns:
        (windows, longest, dim) float32 and (windows,) int32 lengths.
    """
    lengths = np.array([len(window) for window in windows], np.int32)
    padded = np.zeros((len(windows), lengths.max(), windows[0].shape[1]), np.float32)
    for i, window in enumerate(windows):
        padded[i, : len(window)] = window
    return padded, lengths


def units_of(
    corpus: Corpus, alignments: Mapping[str, list[Unit]], source: str | Path
) -> list[list[Unit]]:
    """The units of each utterance that its frames cover; empty where there is no alignment.

    Raises:
        UnspeechError: when no utterance has an alignment.
    """
    lengths = corpus.lengths
    units = [
        [unit for unit in alignments.get(name, []) if unit.start < unit.end <= lengths[i]]
        for i, name in enumerate(corpus.utterances)
    ]
    if not any(units):
        raise UnspeechError(
            f"{source}: no unit of any utterance, such as '{corpus.utterances[0]}'; "
            "its utterance names must be those of the features"
        )
    return units


def recordings_of(utterances: list[str], data: str | Path) -> list[str]:
    """Name the recording of each utterance: from `segments` where there is one, else its own.

    A copy belongs to the recording that it was made from, see `unspeech.copies`.
    """
    (segments,) = _tables(data, "segments")
    originals = read_originals(data)
    return [_recording_of(u, original_of(u, originals), segments) for u in utterances]


def _recording_of(utterance: str, original: str, segments: Mapping[str, str]) -> str:
    if original in segments or original == utterance:
        return segments.get(original, original).split()[0]
    # A data directory may hold copies without their originals.
    recording = segments.get(utterance, utterance).split()[0]
    return original if recording == utterance else without_speed(recording)


def unaugmented(utterances: list[str], data: str | Path) -> list[str]:
    """Name what each utterance is a copy of in the same voice (`aug1-…`), else itself."""
    originals = read_originals(data)
    copy = re.compile(r"^aug[0-9]+-")
    return [copy.sub("", u) if originals.get(u, u) != u else u for u in utterances]


def _tables(data: str | Path, *names: str) -> list[dict[str, str]]:
    paths = [Path(data) / name for name in names]
    return [read_table(path) if path.is_file() else {} for path in paths]


def contexts_of(utterances: list[str], data: str | Path) -> list[str]:
    """Name the recording whose context each utterance shares.

    A copy with other noise or in another room shares that of its original; one at another speed is
    another voice, and shares that of its own recording.
    """
    (segments,) = _tables(data, "segments")
    return [segments.get(u, u).split()[0] for u in unaugmented(utterances, data)]


def voices_of(utterances: list[str], data: str | Path, config: Config) -> list[str] | None:
    """What each utterance shares its context with, by `context_sampling`; None for adjacent.

    With speakers, an utterance that `pseudo_utt2spk` does not name has none: "".
    """
    if config.context_sampling == "adjacent":
        return None
    if config.context_sampling == "recording":
        return contexts_of(utterances, data)
    speakers = read_table(config.pseudo_utt2spk)
    return [speakers.get(u, "") for u in utterances]


def speakers_of_spk2utt(utterances: list[str], path: str) -> list[str]:
    """The speaker of each utterance, from a file of `<speaker> <utterance> …` lines.

    Raises:
        UnspeechError: naming the first utterance that the file lacks.
    """
    speakers = utt2spk_of(read_table(path))
    for utterance in utterances:
        if utterance not in speakers:
            raise UnspeechError(f"{path}: no speaker has utterance '{utterance}'; add it")
    return [speakers[utterance] for utterance in utterances]


def groupings_of(
    corpus: Corpus, data: str | Path, config: Config
) -> tuple[list[str] | None, list[list[Unit]] | None, list[str] | None]:
    """Speakers, units and voices of each utterance, as `ContextSampler` takes them."""
    return (
        speakers_of_spk2utt(corpus.utterances, config.spk2utt) if config.spk2utt else None,
        units_of(corpus, read_ctm(config.ali_ctm), config.ali_ctm) if config.ali_ctm else None,
        voices_of(corpus.utterances, data, config),
    )


def usable_utterances(
    corpus: Corpus,
    config: Config,
    speakers: list[str] | None = None,
    units: list[list[Unit]] | None = None,
    voices: list[str] | None = None,
) -> np.ndarray:
    """Which utterances hold a target with its contexts, and belong to a frequent speaker.

    Returns: (utterances,) bool.
    """
    if units is None:
        usable = corpus.lengths >= config.span
    else:
        row = config.left_contexts + 1 + config.right_contexts
        usable = np.array([len(own) >= row for own in units])
    if voices is not None:
        usable &= np.array([voice != "" for voice in voices])
    if speakers is not None:
        names, which, counts = np.unique(
            np.where(usable, speakers, ""), return_inverse=True, return_counts=True
        )
        usable &= (names != "")[which] & (counts >= config.minimum_speaker_length)[which]
    return usable


def split_heldout(
    usable: np.ndarray, recordings: list[str], config: Config
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the utterances to train on and those to choose the best model with.

    Args:
        usable: (utterances,) bool.
        recordings: the recording of each utterance; no recording is on both sides.
        config: settings; `heldout_fraction` of the recordings are held out, at least two.
    Returns:
        (train, heldout): indices of usable utterances. With fewer than four recordings they are
        the same: as in the original, the best model is then the best on its training speech.
    Raises:
        UnspeechError: when no utterance is usable.
    """
    indices = np.flatnonzero(usable)
    names = sorted({recordings[i] for i in indices}, key=str.encode)
    if not names:
        length = "a row of aligned units" if config.ali_ctm else f"{config.span} frames"
        raise UnspeechError(
            f"none of {len(set(recordings))} recordings has a usable utterance: one "
            f"of {length}, for the target window and its contexts, and with spk2utt one of a "
            f"speaker with {config.minimum_speaker_length}: use more speech, or lower "
            "window_length, left_contexts or right_contexts"
        )
    if len(names) < 4:
        return indices, indices
    count = min(max(2, round(config.heldout_fraction * len(names))), len(names) - 2)
    rng = np.random.default_rng(config.seed)
    heldout_names = {names[i] for i in rng.choice(len(names), count, replace=False)}
    is_heldout = np.array([recordings[i] in heldout_names for i in indices])
    return indices[~is_heldout], indices[is_heldout]
