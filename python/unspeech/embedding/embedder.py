"""Rows of whole utterances from a trained model's embeddings of their windows."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from unspeech.embedding.rows import RowOptions, check_row_options, unit_mean
from unspeech.embedding.windows import join_frames, window_embedder
from unspeech.network.config import FRAMES_A_SECOND
from unspeech.network.model import UnspeechModel


class Embedder:
    """Embeds many utterances at once with the heads of a trained model.

    Windows of many utterances share a batch. An utterance shorter than a window is repeated until
    it fills one; with `rows_as_original` it is filled up with zeros.

    Args:
        model: a trained model.
        options: what the rows are made of.
        scale: what is done to embeddings, see `load_scale`.
        batch: windows that are computed together; None for many.
        pooled: whether rows are what a solved head is applied to, in place of embeddings.
    Raises:
        UnspeechError: when the options do not fit the model.
    """

    def __init__(
        self,
        model: UnspeechModel,
        options: RowOptions,
        scale: Callable[[np.ndarray], np.ndarray] | None = None,
        batch: int | None = None,
        pooled: bool = False,
    ) -> None:
        check_row_options(options, model.config)
        self.options = options
        self.stride = options.genfeat_stride
        self.window_length = model.config.window_length
        self.windows = window_embedder(model, options.both_heads, batch, pooled)
        self._as_original = options.rows_as_original
        self._scale = scale
        self._chunk_length = options.genfeat_max_length * model.config.input_rate // FRAMES_A_SECOND

    def rows(
        self, utterances: Iterable[tuple[str, np.ndarray]]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Embed (name, features) pairs, each features (frames, feat_size) float32.

        Yields:
            (name, (rows, dim) float32), in order. Row t is the window that begins at frame
            t * genfeat_stride, or with `causal` the one that ends with it; there are
            ceil(frames / genfeat_stride) rows unless the options say otherwise.
        """
        chunk: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]] = []
        frames = 0
        for name, features in utterances:
            placed, starts = self._place(features)
            chunk.append((name, features, placed, starts))
            frames += len(placed)
            if frames >= self._chunk_length:
                yield from self._chunk(chunk)
                chunk, frames = [], 0
        if chunk:
            yield from self._chunk(chunk)

    def _chunk(self, chunk: list[tuple]) -> Iterator[tuple[str, np.ndarray]]:
        names, features, placed, starts = zip(*chunk, strict=True)
        frames, begins = join_frames(placed, self.windows.alignment)
        in_chunk = [begin + own for begin, own in zip(begins, starts, strict=True)]
        embedded = self.windows.embed(frames, np.concatenate(in_chunk))
        ends = np.cumsum([len(own) for own in starts])
        for name, own, rows in zip(names, features, np.split(embedded, ends[:-1]), strict=True):
            yield name, self.finish(own, rows)

    def _place(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Frames to cut an utterance's windows from, and the first frame of each window."""
        if self.options.causal:
            length, alignment = self.window_length, self.windows.alignment
            ends = np.arange(0, len(features), self.stride) + 1
            short = ends[ends < length]
            # The zeros before the features align the windows if the stride is aligned.
            zeros = (length - 1) % alignment
            whole = np.pad(features, ((zeros, 0), (0, 0)))
            frames, begins = join_frames(
                [*(self.fill(features[:e]) for e in short), whole], alignment
            )
            starts = begins[-1] + zeros + ends[len(short) :] - length
            return frames, np.concatenate([begins[:-1], starts])
        if self.options.kaldi_normalize_to_input_length:
            filled = np.pad(features, ((0, self.window_length - 1), (0, 0)), mode="edge")
        else:
            filled = self.fill(features)
        starts = np.arange(len(filled) - self.window_length + 1)
        if self._as_original and self.options.genfeat_interpolate_outputlength_padding:
            starts = np.pad(starts, (0, self.window_length - 1), mode="edge")
        return filled, starts[:: self.stride]

    def fill(self, features: np.ndarray) -> np.ndarray:
        """Make features that are shorter than a window fill one, see the class."""
        short = self.window_length - len(features)
        mode = "constant" if self._as_original else "wrap"
        return np.pad(features, ((0, short), (0, 0)), mode=mode) if short > 0 else features

    def finish(self, features: np.ndarray, embedded: np.ndarray) -> np.ndarray:
        """Make the rows of an utterance from its windows' embeddings.

        Args:
            features: (frames, feat_size).
            embedded: (windows, width) of all heads.
        Returns:
            (rows, dim) float32.
        """
        options = self.options
        wanted = -(-len(features) // self.stride)
        if self._as_original:
            wanted = len(embedded)
        elif options.genfeat_interpolate_outputlength_padding:
            embedded = embedded[np.minimum(np.arange(wanted), len(embedded) - 1)]
        embedded = embedded[:wanted]
        rows = self._scale(embedded) if self._scale else embedded
        columns = np.split(rows, 1 + options.both_heads, axis=1)
        columns = columns[: 1 + options.genfeat_combine_contexts]
        if options.genfeat_boost:
            columns = [c * 10 / (abs(c.min()) + abs(c.max()) / 2) for c in columns]
        if options.genfeat_kaldi_meannorm:
            columns = [np.broadcast_to(unit_mean(c), c.shape) for c in columns]
        if options.generate_fbank_segmentation:
            columns = [*columns, self._segmentation(*np.split(embedded, 2, axis=1))]
        if options.genfeat_combine_fbank:
            frames = np.minimum(np.arange(len(rows)) * self.stride, len(features) - 1)
            columns = [features[frames], *columns]
        combined = np.concatenate(columns, axis=1)
        return (
            combined.mean(axis=0, keepdims=True) if options.generate_speaker_vectors else combined
        )

    def _segmentation(self, targets: np.ndarray, contexts: np.ndarray) -> np.ndarray:
        """(rows, 2): probability that this window is context of the one and two windows before."""
        columns = np.zeros((len(targets), 2), np.float32)
        for column in (0, 1):
            back = (column + 1) * self.window_length // self.stride
            logits = (targets[:-back] * contexts[back:]).sum(axis=1)
            columns[back:, column] = 1 / (1 + np.exp(-logits))
        return columns
