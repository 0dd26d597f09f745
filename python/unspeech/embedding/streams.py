"""Frames that come one by one, and the rows that are made of them at once."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from itertools import chain
from typing import Protocol, TextIO

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.kaldi.archives import ArkWriter
from unspeech.kaldi.tables import utt2spk_of
from unspeech.network.config import FRAMES_A_SECOND, Config


class RowStream(Protocol):
    """Makes the rows of an utterance that is going on, see `online.OnlineEmbedder`."""

    def accept(self, frames: np.ndarray) -> np.ndarray: ...

    def flush(self) -> None: ...

    def new_speaker(self, name: str | None = None) -> None: ...


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
    online: RowStream,
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
                online.new_speaker(speaker)
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


def blocks_of(
    utterances: Iterable[tuple[str, np.ndarray]], config: Config
) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    """Cut each utterance's features into frames, or its audio into blocks of 10 ms."""
    step = config.input_rate // FRAMES_A_SECOND
    for name, features in utterances:
        yield name, (features[i : i + step] for i in range(0, len(features), step))
