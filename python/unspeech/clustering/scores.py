"""Figures that say how well clusters agree with gold speakers."""

import numpy as np


def clustering_scores(
    gold: np.ndarray, clusters: np.ndarray, outliers: int = 0
) -> dict[str, float | int]:
    """Compare clusters with gold speakers, from the contingency table of the two.

    Args:
        gold: (utterances,) speaker of each utterance, any dtype that sorts.
        clusters: (utterances,) cluster of each utterance; each outlier has a label of its own,
            so it counts as a cluster of its own.
        outliers: how many utterances are outliers, for the counts only.
    Returns:
        `ari`: adjusted Rand index, 1 for the same grouping, 0 expected by chance.
        `nmi`: mutual information over the mean of both entropies, 0 to 1.
        `pairwise_precision`, `pairwise_recall`, `pairwise_f1`: over unordered pairs of
        utterances, those in one cluster against those of one speaker; 0 where there are none.
        `clusters` (without outliers), `outliers`, `utterances`, `speakers`: counts.
    Raises:
        ValueError: without utterances, or when the arrays differ in length.
    """
    gold, clusters = np.asarray(gold), np.asarray(clusters)
    if gold.ndim != 1 or gold.shape != clusters.shape or not len(gold):
        raise ValueError(f"gold {gold.shape} and clusters {clusters.shape} do not go together")
    speaker_sizes, cluster_sizes, cells, rows, columns = _contingency(gold, clusters)

    pairs = len(gold) * (len(gold) - 1) // 2
    together = _pairs_within(cells)
    of_speaker, of_cluster = _pairs_within(speaker_sizes), _pairs_within(cluster_sizes)
    # Products of counts of pairs leave int64; Python's integers keep them exact.
    excess = together * pairs - of_speaker * of_cluster
    possible = (of_speaker + of_cluster) * pairs - 2 * of_speaker * of_cluster
    entropies = _entropy(speaker_sizes) + _entropy(cluster_sizes)
    shares = cells / len(gold)
    expected = speaker_sizes[rows] / len(gold) * (cluster_sizes[columns] / len(gold))
    information = max(0.0, float(np.sum(shares * np.log(shares / expected))))
    return {
        "ari": 2 * excess / possible if possible else 1.0,
        "nmi": min(1.0, 2 * information / entropies) if entropies else 1.0,
        "pairwise_precision": together / of_cluster if of_cluster else 0.0,
        "pairwise_recall": together / of_speaker if of_speaker else 0.0,
        "pairwise_f1": 2 * together / (of_speaker + of_cluster) if together else 0.0,
        "clusters": len(cluster_sizes) - outliers,
        "outliers": outliers,
        "utterances": len(gold),
        "speakers": len(speaker_sizes),
    }


def _contingency(gold: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sizes of speakers and clusters; counts, speakers and clusters of the non-empty cells."""
    _, gold, speaker_sizes = np.unique(gold, return_inverse=True, return_counts=True)
    _, clusters, cluster_sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    cells, counts = np.unique(gold * len(cluster_sizes) + clusters, return_counts=True)
    return speaker_sizes, cluster_sizes, counts, *np.divmod(cells, len(cluster_sizes))


def _pairs_within(sizes: np.ndarray) -> int:
    return int(np.sum(sizes * (sizes - 1)) // 2)


def _entropy(sizes: np.ndarray) -> float:
    shares = sizes / sizes.sum()
    return float(-np.sum(shares * np.log(shares)))
