"""Made-up vectors of speakers, and how far two clusterings of them agree."""

import numpy as np

from helpers.data import write_ark
from unspeech.clustering.scores import clustering_scores


def speakers(count: int = 12, utterances: int = 8, strays: int = 5, seed: int = 0):
    """Unit vectors around speakers' directions, and strays around none; utterance names say which.

    Returns: {utterance: (100,) vector}, {utterance: speaker}.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, 100))
    vectors, gold = {}, {}
    for s in range(count):
        for u in range(utterances):
            name = f"{'ab'[u % 2]}{s:03d}-{u:03d}"
            vectors[name] = centres[s] + 0.5 * rng.normal(size=100)
            gold[name] = f"s{s}"
    for s in range(strays):
        vectors[f"x-{s}"] = rng.normal(size=100)
        gold[f"x-{s}"] = f"x{s}"
    return vectors, gold


def write_vectors(folder, vectors):
    return write_ark(folder / "embedding.ark", dict(sorted(vectors.items()))).parent


def agreement(one: dict, other: dict) -> float:
    """ARI of two {utterance: cluster}."""
    names = sorted(one)
    return clustering_scores([one[u] for u in names], [other[u] for u in names])["ari"]
