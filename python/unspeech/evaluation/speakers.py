"""Which utterances and speakers are scored, and by which clusters."""

import random
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.clustering.directory import read_clusters, read_outliers
from unspeech.kaldi.tables import read_table
from unspeech.kaldi.vectors import load_embeddings

COHORT = 10_000  # utterances of the cohort that are used


def clusters_of(utterances: list[str], directory: Path) -> np.ndarray:
    """The cluster of each utterance in a clusters directory, "" for outliers.

    Raises:
        UnspeechError: when the clusters are of other utterances than these, or of some of them.
    """
    table, alone = read_clusters(directory)
    strange = set(table).difference(utterances)
    if strange:
        raise UnspeechError(
            f"{directory / 'utt2spk'}: utterance '{min(strange)}' is not among the embeddings; "
            "score these with clusters made from them"
        )
    clustered = read_table(directory / "utt2spk").keys() | read_outliers(directory).keys()
    missing = [u for u in utterances if u not in clustered]
    if missing:
        raise UnspeechError(
            f"{directory}: is not of utterance '{missing[0]}' and {len(missing) - 1} more of "
            f"{len(utterances)}; cluster all that are scored, or score those that are clustered"
        )
    return np.array(["" if u in alone else table.get(u, "") for u in utterances])


def choose_speakers(utt2spk: str, most: int, seed: int) -> list[str]:
    """Draw `most` of the speakers, or all if there are fewer; the same as the original program."""
    speakers = sorted(set(read_table(utt2spk).values()))
    return random.Random(seed).sample(speakers, min(most, len(speakers)))


def load_cohort(directory: str, part: slice, dim: int, seed: int) -> np.ndarray:
    """(cohort, dim) float32 of unit length: up to `COHORT` of a directory's vectors, drawn.

    Raises:
        UnspeechError: when their dimension is not `dim`.
    """
    _, vectors = load_embeddings(directory, part=part)
    if vectors.shape[1] != dim:
        raise UnspeechError(
            f"{directory}: dimension {vectors.shape[1]}, but {dim} in --embeddings; embed and "
            "normalise both alike"
        )
    return vectors[np.random.default_rng(seed).permutation(len(vectors))[:COHORT]]


def each_outlier_alone(clusters: np.ndarray) -> np.ndarray:
    """(utterances,) int64 labels, with one of its own for each outlier ("")."""
    labels = np.unique(clusters, return_inverse=True)[1]
    outliers = clusters == ""
    labels[outliers] = len(labels) + np.arange(outliers.sum())
    return labels
