"""Causal rows while the speech is going on."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from itertools import chain
from typing import TextIO

import numpy as np

from unspeech.archives import ArkWriter
from unspeech.embedder import Embedder
from unspeech.errors import UnspeechError
from unspeech.model import UnspeechModel
from unspeech.rows import RowOptions, RunningMean, remembered_rows
from unspeech.tables import utt2spk_of


class OnlineEmbedder:
    """Makes the rows of an utterance that is still going on: those of offline causal extraction.

        online = OnlineEmbedder(load_model("exp/model"), RowOptions(causal=True))
        for frames in microphone:
            for row in online.accept(frames):
                ...
        online.flush()

    A row is there as soon as its frame is: the delay is the time that it takes to embed a window.

    Attributes:
        dim: of a row.

    Args:
        model: a trained model.
        options: what the rows are made of; `causal`.
        scale: what is done to embeddings, see `load_scale`.
    Raises:
        UnspeechError: when the options do not fit the model, or such rows cannot be made online.
    """

    def __init__(
        self,
        model: UnspeechModel,
        options: RowOptions,
        scale: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        if not options.causal or options.generate_fbank_segmentation:
            raise UnspeechError("online rows are causal, and without generate_fbank_segmentation")
        self._embedder = Embedder(model, options, scale, batch=1)
        self._running = options.average == "running"
        self._remembered = remembered_rows(options, model.config.input_rate)
        self._start = np.zeros((0, model.config.input_size), np.float32)
        self.new_speaker()
        self.dim = self._row(np.zeros((1, model.config.input_size), np.float32)).shape[1]
        self.new_speaker()  # that row, whose making has compiled the network, does not count

    def new_speaker(self) -> None:
        """Say that another speaker is next: a running mean begins anew."""
        self._mean = RunningMean(self._remembered)
        self.flush()

    def flush(self) -> None:
        """Say that the utterance has ended; no row is left to come."""
        self._mean.end_utterance()
        self._recent = self._start  # the frames before the next one, as many as a window needs
        self._seen = 0
        self._next = 0  # frame of the next row

    def accept(self, frames: np.ndarray) -> np.ndarray:
        """Take the next frames of the utterance, however many.

        Args:
            frames: (frames, input_size) float32.
        Returns:
            (rows, dim) float32: the rows of these frames, often none.
        """
        length = self._embedder.window_length
        frames = np.concatenate([self._recent, frames])
        first = self._seen - len(self._recent)
        self._seen = first + len(frames)
        rows = [np.zeros((0, self.dim), np.float32)]
        while self._next < self._seen:
            end = self._next + 1 - first
            rows.append(self._row(frames[max(0, end - length) : end]))
            self._next += self._embedder.stride
        self._recent = frames[max(0, len(frames) - length + 1) :]
        return np.concatenate(rows)

    def _row(self, window: np.ndarray) -> np.ndarray:
        embedded = self._embedder.windows.embed(self._embedder.fill(window), np.zeros(1, int))
        row = self._embedder.finish(window[-1:], embedded)
        return self._mean.add(row) if self._running else row


def read_text_frames(file: TextIO, dim: int) -> Iterator[tuple[str, Iterable[np.ndarray]]]:
    """Read a text archive frame by frame, each as soon as its line is there.

    Args:
        file: what `copy-feats scp:… ark,t:-` writes.
        dim: of a frame.
    Yields:
        (utterance, its frames, (1, dim) float32 each, to be read before the next utterance).
    Raises:
        UnspeechError: naming the utterance and frame that is not as expected.
    """
    lines = _decoded(file)
    for line in lines:
        name, opened, rest = line.partition("[")
        if opened and name.split():
            yield name.strip(), _frames_until_closed(name.strip(), chain([rest], lines), dim)
        elif line.strip():
            raise UnspeechError(f"stdin: expected '<utterance> [', found '{line.strip()[:60]}'")


def _decoded(file: TextIO) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError:
        raise UnspeechError("stdin: not a text archive; pipe in `copy-feats … ark,t:-`") from None


def _frames_until_closed(utterance: str, lines: Iterable[str], dim: int) -> Iterator[np.ndarray]:
    count = 0
    for line in lines:
        text, closed, _ = line.partition("]")
        if text.split():
            try:
                frame = np.array([text.split()], np.float32)
            except ValueError:
                frame = np.array([[np.nan]])
            if frame.shape[1] != dim or not np.isfinite(frame).all():
                raise UnspeechError(
                    f"stdin: utterance '{utterance}': frame {count} is not {dim} finite numbers"
                )
            count += 1
            yield frame
        if closed:
            if count == 0:
                raise UnspeechError(f"stdin: utterance '{utterance}': has no frames")
            return
    raise UnspeechError(f"stdin: utterance '{utterance}': ends without ']'")


def embed_online(
    online: OnlineEmbedder,
    utterances: Iterable[tuple[str, Iterable[np.ndarray]]],
    writer: ArkWriter | None,
    spk2utt: Mapping[str, str],
) -> int:
    """Embed utterances as their frames come, and say on stderr how late the rows are.

    Args:
        online: makes the rows.
        utterances: (name, blocks of frames).
        writer: output; None for a text archive on stdout, each row as soon as it is there.
        spk2utt: whose they are; an utterance that it lacks is a speaker of its own.
    Returns: the number of utterances.
    """
    speaker_of = utt2spk_of(spk2utt)
    count, last, took = 0, None, []
    with writer or nullcontext():
        for name, blocks in utterances:
            speaker = speaker_of.get(name)
            if speaker is None or speaker != last:
                online.new_speaker()
            rows = []
            if not writer:
                print(f"{name}  [", flush=True)
            for block in blocks:
                began = time.perf_counter()
                new = online.accept(block)
                if len(new):
                    took.append((time.perf_counter() - began) / len(new))
                if writer:
                    rows.append(new)
                else:
                    if not np.isfinite(new).all():
                        raise UnspeechError(f"stdout: utterance '{name}': NaN or infinite rows")
                    for row in new:
                        print(" ", *(f"{number:.7g}" for number in row), flush=True)
            if writer:
                writer.write(name, np.concatenate(rows))
            else:
                print("]", flush=True)
            online.flush()
            count, last = count + 1, speaker
    if took:
        middle, longest = 1000 * np.median(took), 1000 * max(took)
        print(
            "Delay: no frame, a row is made as soon as its own is there; that took "
            f"{middle:.1f} ms (median), {longest:.1f} ms at most",
            file=sys.stderr,
        )
    return count
