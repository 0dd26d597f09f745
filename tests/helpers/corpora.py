"""Corpora of features, and what they must hold."""

from pathlib import Path

import kaldiio
import numpy as np

from helpers.data import voices
from unspeech.kaldi.corpus import Corpus


def counting_corpus(lengths: list[int]) -> Corpus:
    """Every frame holds (utterance, position), so that a window says where it comes from."""
    frames = [np.stack([np.full(n, u), np.arange(n)], axis=1) for u, n in enumerate(lengths)]
    names = [f"u{u}" for u in range(len(lengths))]
    return Corpus.in_memory(names, frames)


VOICES = voices(speakers=2, utterances=3)


def save(path: Path, arrays: dict = VOICES, **options) -> Path:
    """Write path.ark and path.scp with other software; returns the scp."""
    scp = path.with_suffix(".scp")
    kaldiio.save_ark(str(path.with_suffix(".ark")), arrays, scp=str(scp), **options)
    return scp


def assert_same(corpus: Corpus, expected: dict = VOICES, tolerance: float = 0) -> None:
    assert corpus.utterances == list(expected)
    assert corpus.lengths.tolist() == [len(matrix) for matrix in expected.values()]
    for i, matrix in enumerate(expected.values()):
        np.testing.assert_allclose(corpus.features(i), matrix, rtol=0, atol=tolerance)
