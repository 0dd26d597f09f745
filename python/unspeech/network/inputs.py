"""What models take in: features, or for `end_to_end` ones waveforms of a data directory."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from unspeech.audio.utterances import AudioError, DataAudio
from unspeech.cli.errors import UnspeechError
from unspeech.kaldi.archives import iterate_arrays
from unspeech.kaldi.corpus import Corpus, check_features
from unspeech.kaldi.features import load_corpus
from unspeech.kaldi.tables import read_table
from unspeech.network.config import Config


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


def read_inputs(
    feats: str | Path, data: str | Path | None, config: Config
) -> Iterator[tuple[str, np.ndarray]]:
    """What a model takes of each utterance of a file: features, or audio from `data`.

    Args:
        feats: .scp or .ark file of features; with `end_to_end`, a table of the utterances.
        data: data directory; needed with `end_to_end`.
    Raises:
        UnspeechError: naming the utterance that the model cannot take.
    """
    if config.end_to_end:
        if data is None:
            raise UnspeechError("this model takes waveforms: give the data directory by --data")
        yield from read_waveforms(data, config.sample_rate, read_table(feats))
        return
    for name, features in iterate_arrays(feats):
        check_features(name, features, feats, config.feat_size)
        yield name, features


def load_waveforms(data: str | Path, rate: int) -> Corpus:
    """Read all audio of a data directory into memory, see `read_waveforms`."""
    utterances, waveforms = zip(*read_waveforms(data, rate), strict=True)
    return Corpus.in_memory(list(utterances), list(waveforms))


def load_inputs(data: str | Path, config: Config, keep: bool = True, **memmap) -> Corpus:
    """What a model of these settings is trained on: features, or the waveforms themselves.

    Args:
        data: data directory, or .scp or .ark file of features.
        keep: whether windows are to be cut from the features; else they are only looked at.
        memmap: fields of `MemmapOptions`, for features of more than fits into memory.
    """
    if config.end_to_end:
        return load_waveforms(data, config.sample_rate)
    return load_corpus(data, config.feat_size, keep=keep, **memmap)
