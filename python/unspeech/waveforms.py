"""Waveforms of a data directory in place of features, for `end_to_end` models."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from unspeech.audio import AudioError, DataAudio
from unspeech.features import Corpus


def read_waveforms(
    data: str | Path, rate: int, utterances: Iterable[str] | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Decode a data directory's audio.

    Args:
        data: data directory with `wav.scp`, and `segments` if there.
        rate: Hz; recordings at another rate are resampled.
        utterances: which; all if None.
    Yields:
        (utterance, (samples, 1) float32 in [-1, 1]), recording by recording.
    Raises:
        UnspeechError: naming the first utterance whose audio cannot be used.
    """
    for utterance, samples in DataAudio(data, rate).read(utterances):
        if isinstance(samples, AudioError):
            raise samples
        yield utterance, samples[:, None]


def load_waveforms(data: str | Path, rate: int) -> Corpus:
    """Read all audio of a data directory into memory, see `read_waveforms`."""
    utterances, waveforms = zip(*read_waveforms(data, rate), strict=True)
    return Corpus.in_memory(list(utterances), list(waveforms))
