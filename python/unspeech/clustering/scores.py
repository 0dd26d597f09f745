"""Figures that say how well clusters agree with gold speakers."""

import numpy as np


def clustering_scores(
    gold: np.ndarray, clusters: np.ndarray, outliers: int = 0
) -> dict[str, float | int]:
    """Compare clusters with gold speakers, by scikit-learn.

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
    # Imported here: a second that programs need not wait for that have no labels.
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import pair_confusion_matrix

    pairs = pair_confusion_matrix(gold, clusters)  # ordered ones, so that each counts twice
    together, of_cluster = int(pairs[1, 1]), int(pairs[:, 1].sum())
    of_speaker = int(pairs[1].sum())
    return {
        "ari": float(adjusted_rand_score(gold, clusters)),
        "nmi": min(1.0, float(normalized_mutual_info_score(gold, clusters))),
        "pairwise_precision": together / of_cluster if of_cluster else 0.0,
        "pairwise_recall": together / of_speaker if of_speaker else 0.0,
        "pairwise_f1": 2 * together / (of_speaker + of_cluster) if together else 0.0,
        "clusters": len(np.unique(clusters)) - outliers,
        "outliers": outliers,
        "utterances": len(gold),
        "speakers": len(np.unique(gold)),
    }
