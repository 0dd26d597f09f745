"""Scores of clusterings, against their definitions and those of earlier versions."""

from itertools import combinations

import numpy as np
import pytest

from unspeech.clustering.scores import clustering_scores


def entropy(labels) -> float:
    parts = np.unique(labels, return_counts=True)[1] / len(labels)
    return -float(np.sum(parts * np.log(parts)))


@pytest.mark.parametrize(("size", "speakers", "clusters"), [(2, 1, 1), (40, 3, 5), (60, 40, 20)])
def test_clustering_scores_are_those_of_all_pairs(size, speakers, clusters):
    rng = np.random.default_rng(size)
    gold, found = rng.integers(speakers, size=size), rng.integers(clusters, size=size)
    pairs = list(combinations(range(size), 2))
    same_speaker = {pair for pair in pairs if gold[pair[0]] == gold[pair[1]]}
    same_cluster = {pair for pair in pairs if found[pair[0]] == found[pair[1]]}
    hits = len(same_speaker & same_cluster)
    got = clustering_scores(np.array([f"s{g}" for g in gold]), found)
    assert got["pairwise_precision"] == pytest.approx(hits / len(same_cluster))
    assert got["pairwise_recall"] == pytest.approx(hits / len(same_speaker))
    assert got["pairwise_f1"] == pytest.approx(2 * hits / (len(same_cluster) + len(same_speaker)))
    expected = len(same_cluster) * len(same_speaker) / len(pairs)
    most = (len(same_cluster) + len(same_speaker)) / 2
    ari = (hits - expected) / (most - expected) if most > expected else 1
    assert got["ari"] == pytest.approx(ari)
    information = entropy(gold) + entropy(found) - entropy(gold * clusters + found)
    mean = (entropy(gold) + entropy(found)) / 2
    assert got["nmi"] == pytest.approx(information / mean if mean else 1)
    assert (got["utterances"], got["speakers"]) == (size, len(set(gold)))


def test_clustering_scores_are_those_of_earlier_versions():
    """Which computed them without scikit-learn."""
    rng = np.random.default_rng(3)
    gold = rng.integers(25, size=400)
    found = np.where(rng.random(400) < 0.8, gold // 2, 100 + np.arange(400))
    assert clustering_scores(gold, found, int((found >= 100).sum())) == pytest.approx(
        {
            "ari": 0.5464010222338271, "nmi": 0.813308470885558,
            "pairwise_precision": 0.4993849938499385, "pairwise_recall": 0.6542056074766355,
            "pairwise_f1": 0.56640625,
            "clusters": 13, "outliers": 75, "utterances": 400, "speakers": 25,
        },
        rel=1e-14,
    )  # fmt: skip


def test_clustering_scores_stay_exact_for_a_million_utterances():
    size = 1_000_000
    got = clustering_scores(np.arange(size) // (size // 2), np.arange(size) // (size // 4))
    half, quarter = size // 2, size // 4
    assert got["pairwise_precision"] == 1
    assert got["pairwise_recall"] == 4 * (quarter * (quarter - 1)) / (2 * (half * (half - 1)))
    assert got["ari"] == pytest.approx(1 / 2, abs=1e-5)


def test_outliers_alone_score_as_clusters_but_are_counted_apart():
    got = clustering_scores(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2]), outliers=2)
    assert (got["clusters"], got["outliers"]) == (1, 2)
    assert (got["pairwise_precision"], got["pairwise_recall"]) == (1, 0.5)
