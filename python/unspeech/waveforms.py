"""What models take in: features, or for `end_to_end` ones waveforms of a data directory."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from unspeech.audio import AudioError, DataAudio
from unspeech.config import Config
from unspeech.features import Corpus, load_corpus


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


def load_inputs(data: str | Path, config: Config, **memmap) -> Corpus:
    """What a model of these settings is trained on: features, or the waveforms themselves.

    Args:
        data: data directory, or .scp or .ark file of features.
        memmap: fields of `MemmapOptions`, for features of more than fits into memory.
    """
    if config.end_to_end:
        return load_waveforms(data, config.sample_rate)
    return load_corpus(data, config.feat_size, **memmap)
