"""Vectors placed in the plane."""

import numpy as np


def project(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Place (utterances, dim) vectors in the plane by t-SNE: (utterances, 2)."""
    # Imported here: a second that bad input need not wait for.
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if vectors.shape[1] == 1:  # the places of t-SNE's beginning have two dimensions
        vectors = np.hstack([vectors, np.zeros_like(vectors)])
    if np.std(vectors, axis=0).max() <= 1e-6 * np.abs(vectors).max():  # t-SNE would divide by it
        return 1e-4 * np.random.default_rng(seed).normal(size=(len(vectors), 2))
    perplexity = min(30, (len(vectors) - 1) / 3)
    # Its threads wait actively for each other: on a busy machine one is faster, and it repeats.
    with threadpool_limits(1):
        return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors)
