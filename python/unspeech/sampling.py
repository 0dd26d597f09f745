"""Which windows a training step sees: targets, their contexts, and random pairs.

A step's windows depend on the seed and the step's number alone, so a run that was killed sees
after its restart what it would have seen without it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unspeech.config import Config
from unspeech.errors import UnspeechError
from unspeech.features import Corpus
from unspeech.tables import read_table


@dataclass(frozen=True)
class Batch:
    """The windows of one step, and which of them form negative pairs.

    Attributes:
        targets: (batch, window_length, dim) float32.
        contexts: (batch, contexts, window_neg_length, dim) float32; `targets[i]` with each of
            `contexts[i]` is a positive pair.
        negatives: (pairs, 2) int32, negative pairs: a row of `targets` and a row of `contexts`
            seen as (batch * contexts, …), never both of the same draw.
    """

    targets: np.ndarray
    contexts: np.ndarray
    negatives: np.ndarray


class ContextSampler:
    """Draw targets with the context windows beside them, and negative pairs among all windows.

    Utterances are drawn uniformly, each at most once a batch where there are enough of them, and
    positions uniformly within the utterance. A negative pair joins the target window of one draw
    with a context window of another. As every window was drawn at random, so is the pair; and as
    each window is in the batch anyway, it costs a dot product. Source: Milde and Biemann 2018,
    section 2.

    Args:
        corpus: features.
        indices: (n,) the utterances to draw from, each of at least `config.span` frames.
        config: settings.
        stream: names this sampler's sequence of random numbers, so that two samplers of one seed
            differ.
    """

    def __init__(self, corpus: Corpus, indices: np.ndarray, config: Config, stream: int) -> None:
        self._frames = corpus.frames
        self._starts = corpus.starts[indices]
        self._room = corpus.lengths[indices] - config.span + 1
        self._config = config
        self._stream = stream
        left, right = config.left_contexts, config.right_contexts
        self._target = np.arange(config.window_length) + left * config.window_neg_length
        before = np.arange(left) * config.window_neg_length
        after = np.arange(right) * config.window_neg_length + self._target[-1] + 1
        self._contexts = np.concatenate([before, after])[:, None] + np.arange(
            config.window_neg_length
        )

    def batch(self, step: int, size: int | None = None) -> Batch:
        """The windows of one step; the same for the same seed, stream and step."""
        size = size or self._config.batch_size
        rng = np.random.default_rng((self._config.seed, self._stream, step))
        utterances = rng.choice(len(self._room), size, replace=size > len(self._room))
        offsets = self._starts[utterances] + rng.integers(self._room[utterances])
        pairs = size * self._config.negative_samples
        target_draws = rng.integers(size, size=pairs)
        context_draws = (target_draws + rng.integers(1, size, size=pairs)) % size
        contexts = len(self._contexts)
        context_rows = context_draws * contexts + rng.integers(contexts, size=pairs)
        return Batch(
            targets=self._frames[offsets[:, None] + self._target],
            contexts=self._frames[offsets[:, None, None] + self._contexts],
            negatives=np.stack([target_draws, context_rows], axis=1).astype(np.int32),
        )


def recordings_of(utterances: list[str], data: str | Path) -> list[str]:
    """Name the recording of each utterance: from `segments` where there is one, else its own.

    A speed-perturbed copy (`sp0.9-…`, Kaldi's `utils/data/perturb_data_dir_speed.sh`) belongs to
    the recording that it was made from.
    """
    segments = Path(data) / "segments"
    table = read_table(segments) if segments.is_file() else {}
    perturbed = re.compile(r"^sp[0-9.]+-")
    return [perturbed.sub("", table.get(u, u).split()[0]) for u in utterances]


def split_heldout(
    corpus: Corpus, recordings: list[str], config: Config
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose the utterances to train on and those to choose the best model with.

    Args:
        corpus: features.
        recordings: the recording of each utterance; no recording is on both sides.
        config: settings; `heldout_fraction` of the recordings are held out, at least two.
    Returns:
        (train, heldout, short): indices of utterances; `short` have fewer than `config.span`
        frames and are in neither of the others.
    Raises:
        UnspeechError: when fewer than two recordings are left on either side.
    """
    long_enough = corpus.lengths >= config.span
    usable = np.flatnonzero(long_enough)
    names = sorted({recordings[i] for i in usable}, key=str.encode)
    if len(names) < 4:
        raise UnspeechError(
            f"only {len(names)} of {len(set(recordings))} recordings have an utterance of "
            f"{config.span} frames, the target window and its contexts; at least 4 are needed: "
            "use more speech, or lower window_length, left_contexts or right_contexts"
        )
    count = min(max(2, round(config.heldout_fraction * len(names))), len(names) - 2)
    rng = np.random.default_rng(config.seed)
    heldout_names = {names[i] for i in rng.choice(len(names), count, replace=False)}
    is_heldout = np.array([recordings[i] in heldout_names for i in usable])
    return usable[~is_heldout], usable[is_heldout], np.flatnonzero(~long_enough)
