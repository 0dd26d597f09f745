"""Rows over time of the model without a network: offline, and while somebody speaks."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.embedding.rows import RowOptions, by_speaker, check_row_options
from unspeech.embedding.statistics import StatisticsModel

_ROW_OPTIONS = {
    "genfeat_stride", "causal", "average", "max_remembered_frames", "prior_frames", "feature_means",
}  # fmt: skip


class StatisticsRows:
    """Rows of utterances over time.

    Row i belongs to frame t = i * genfeat_stride and covers, by `average`: `none`, the window that
    begins there (the last whole one where that would run over the end), or ends with it when
    `causal`; `running`, all frames of the speaker up to the end of that window; `utterance` and
    `speaker`, all of it. Sums over `prior_frames` average frames of the corpus are added, so that
    rows stay near zero while little has been heard. With `feature_means`, the mean of each channel,
    less that of the corpus, is before the embedding.

    Attributes:
        dim: of a row.

    Args:
        model: statistics and head.
        options: what rows are made of; those for networks do not apply.
    Raises:
        UnspeechError: for an option that does not apply, or options that contradict each other.
    """

    def __init__(self, model: StatisticsModel, options: RowOptions) -> None:
        for field in dataclasses.fields(options):
            if field.name not in _ROW_OPTIONS and getattr(options, field.name) != field.default:
                raise UnspeechError(
                    f"{field.name}: is for networks; this model takes statistics of features, "
                    f"whose rows have {', '.join(sorted(_ROW_OPTIONS))}"
                )
        check_row_options(options, model.config)
        self.options, self._model = options, model
        self._pooling = model.values.pooling
        self._length = model.config.window_length
        self.prior = options.prior_frames * model.head.prior
        self._corpus_means = self._pooling.means(model.head.prior)
        self.dim = model.dim + options.feature_means * self._pooling.dim

    def rows(
        self, utterances: Iterable[tuple[str, np.ndarray]], spk2utt: Mapping[str, str]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Make the rows of (name, (frames, feat_size)) utterances.

        Args:
            spk2utt: {speaker: 'utterance utterance …'} for `running` and `speaker`, in the order of
                time; an utterance that it lacks is a speaker of its own.
        Yields:
            (name, (rows, dim) float32); speaker by speaker where speakers count.
        """
        average = self.options.average
        if average in ("none", "utterance"):
            for name, features in utterances:
                yield name, self._own(features)
            return
        pooled = ((name, self._row_sums(features)) for name, features in utterances)
        for speaker in by_speaker(pooled, spk2utt):
            if average == "speaker":
                total = sum(all_sums for _, all_sums in speaker.values())
                for name, (rows, _) in speaker.items():
                    yield name, np.tile(self.embed(total), (len(rows), 1))
                continue
            state = SpeakerSums(self._pooling.sums_width, self.options.max_remembered_frames)
            for name, (rows, all_sums) in speaker.items():
                yield name, self.embed(state.before + rows)
                state.end_utterance(all_sums)

    def vectors(
        self, utterances: Iterable[tuple[str, np.ndarray]]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Make one vector of unit length per utterance."""
        for name, features in utterances:
            yield name, self._model.embed(features)

    def online(self) -> "OnlineStatistics":
        """What makes the same rows while somebody speaks."""
        return OnlineStatistics(self._model, self.options)

    def embed(self, sums: np.ndarray) -> np.ndarray:
        """(…, sums_width) sums to (…, dim) float32 rows."""
        sums = sums + self.prior
        rows = self._model.head(self._pooling.values(sums))
        if not self.options.feature_means:
            return rows
        means = self._pooling.means(sums) - self._corpus_means
        return np.concatenate([means.astype(np.float32), rows], axis=-1)

    def _own(self, features: np.ndarray) -> np.ndarray:
        rows, all_sums = self._row_sums(features)
        if self.options.average == "utterance":
            return np.tile(self.embed(all_sums), (len(rows), 1))
        return self.embed(rows)

    def _row_sums(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows, sums_width) sums of an utterance's own frames in each row, and of all frames."""
        count, stride, length = len(features), self.options.genfeat_stride, self._length
        frames = np.arange(0, count, stride)
        if self.options.causal:
            begins, ends = np.maximum(frames + 1 - length, 0), frames + 1
        else:
            begins = np.minimum(frames, max(count - length, 0) // stride * stride)
            ends = np.minimum(begins + length, count)
        if self.options.average == "running":
            begins = np.zeros_like(begins)
        edges = np.unique(np.concatenate([[0, count], begins, ends]))
        running = np.zeros((len(edges), self._pooling.sums_width))
        np.cumsum(self._pooling.sums(features, edges), axis=0, out=running[1:])
        first, last = np.searchsorted(edges, begins), np.searchsorted(edges, ends)
        return running[last] - running[first], running[-1]


class SpeakerSums:
    """What has been heard of a speaker in earlier utterances.

    Attributes:
        before: (width,) sums.

    Args:
        width: of the sums.
        remembered: frames that they count as at most, at the end of an utterance.
    Source: the adaptation state of Kaldi's `src/online2/online-ivector-feature.h`.
    """

    def __init__(self, width: int, remembered: float) -> None:
        self.before, self._remembered = np.zeros(width), remembered

    def end_utterance(self, sums: np.ndarray) -> None:
        """Add the (width,) sums of an utterance that has ended."""
        self.before = self.before + sums
        if self.before[0] > self._remembered:
            self.before = self.before * (self._remembered / self.before[0])


class OnlineStatistics:
    """Makes causal rows of an utterance that is still going on: those of offline extraction.

    It is used as `online.OnlineEmbedder` is.

    Attributes:
        dim: of a row.

    Args:
        model: statistics and head.
        options: what rows are made of; `causal`, `average` none or running.
    Raises:
        UnspeechError: when such rows cannot be made while somebody speaks.
    """

    def __init__(self, model: StatisticsModel, options: RowOptions) -> None:
        if not options.causal or options.average not in ("none", "running"):
            raise UnspeechError("online rows are causal, with average none or running")
        self._rows, self._options = StatisticsRows(model, options), options
        self.dim = self._rows.dim
        self._pooling, self._length = model.values.pooling, model.config.window_length
        self._known: dict[str, SpeakerSums] = {}
        self.new_speaker()

    def new_speaker(self, name: str | None = None) -> None:
        """Say that another speaker is next; what was heard of it by this name is remembered."""
        self._state = self._known.get(name) or SpeakerSums(
            self._pooling.sums_width, self._options.max_remembered_frames
        )
        if name is not None:
            self._known[name] = self._state
        self._begin()

    def flush(self) -> None:
        """Say that the utterance has ended; no row is left to come."""
        self._state.end_utterance(self._sums)
        self._begin()

    def _begin(self) -> None:
        self._sums = np.zeros(self._pooling.sums_width)  # of the utterance so far
        self._recent = np.zeros((0, self._pooling.dim), np.float32)
        self._seen = self._next = 0

    def accept(self, frames: np.ndarray) -> np.ndarray:
        """Take the next frames of the utterance, however many.

        Args:
            frames: (frames, feat_size) float32.
        Returns:
            (rows, dim) float32: the rows of these frames, often none.
        """
        before, first = self._seen, self._seen - len(self._recent)
        known = np.concatenate([self._recent, frames])
        self._seen += len(frames)
        ends = np.arange(self._next, self._seen, self._options.genfeat_stride) + 1
        self._next += len(ends) * self._options.genfeat_stride
        # The frames that a window needs, and the one before it, whose change is the first.
        self._recent = known[-(self._length + 1) :]
        parts = []
        if self._options.average == "running":
            for end in [*ends, self._seen]:
                if end > before:
                    edges = np.array([before, end]) - first
                    self._sums = self._sums + self._pooling.sums(known, edges)[0]
                parts.append(self._state.before + self._sums)
                before = end
            parts.pop()  # what has come since the last row
        else:
            if len(frames):
                edges = np.array([before, self._seen]) - first
                self._sums = self._sums + self._pooling.sums(known, edges)[0]
            for end in ends:
                edges = np.array([max(end - self._length, 0), end]) - first
                parts.append(self._pooling.sums(known, edges)[0])
        if not parts:
            return np.zeros((0, self.dim), np.float32)
        return self._rows.embed(np.stack(parts))
