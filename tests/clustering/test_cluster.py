"""Clustering: what it finds, what it leaves, and what it says about input it cannot cluster."""

import json

import numpy as np
import pytest
from helpers.programs import call, call_fails
from helpers.shell import STEPS, run
from helpers.vectors import agreement, speakers, write_vectors

from unspeech.clustering.directory import with_everyone
from unspeech.clustering.inverted_lists import InvertedLists, nearest_centroids
from unspeech.corrections.corrected import Corrected
from unspeech.kaldi.archives import ArkWriter
from unspeech.kaldi.tables import read_table, write_table


@pytest.fixture
def corpus(tmp_path):
    vectors, gold = speakers()
    write_table(tmp_path / "gold", gold)
    return write_vectors(tmp_path / "emb", vectors), gold


def test_finds_speakers_and_outliers(corpus, tmp_path):
    embeddings, gold = corpus
    out = tmp_path / "clusters"
    options = ("--utt2spk", tmp_path / "gold", "--outliers", "own", "--out", out)
    call("cluster", "--embeddings", embeddings, *options)
    utt2spk = read_table(out / "utt2spk")
    assert list(utt2spk) == sorted(gold, key=str.encode)
    assert [name for name in utt2spk.values() if name[0] == "o"] == [f"o00000{i}" for i in range(5)]
    summary = json.loads((out / "clusters.json").read_text())
    assert (summary["utterances"], summary["clusters"], summary["outliers"]) == (101, 12, 5)
    assert summary["settings"]["seed"] == 1
    scores = json.loads((out / "scores.json").read_text())
    assert scores["ari"] == 1.0
    assert scores["outliers"] == 5
    pairs = [
        (utterance, cluster)
        for cluster, utterances in read_table(out / "spk2utt").items()
        for utterance in utterances.split()
    ]
    assert dict(pairs) == utt2spk
    renamed = sorted(f"{cluster}-{utterance}" for utterance, cluster in pairs)
    assert [name.split("-")[0] for name in renamed] == sorted(utt2spk.values())


@pytest.mark.parametrize(("policy", "kept"), [("nearest", 101), ("leave-out", 96)])
def test_outlier_policies(corpus, tmp_path, policy, kept):
    out = tmp_path / "clusters"
    call("cluster", "--embeddings", corpus[0], "--out", out, "--outliers", policy)
    utt2spk = read_table(out / "utt2spk")
    assert len(utt2spk) == kept
    assert len(set(utt2spk.values())) == 12
    assert json.loads((out / "clusters.json").read_text())["outliers"] == 5


def test_bad_input(corpus, tmp_path):
    out = ["--out", tmp_path / "clusters"]
    few = write_vectors(tmp_path / "few", dict(list(speakers()[0].items())[:3]))
    assert "3 utterances" in call_fails("cluster", "--embeddings", few, *out)
    bad = write_vectors(tmp_path / "bad", speakers()[0] | {"a-nan": np.full(100, np.nan)})
    assert "'a-nan'" in call_fails("cluster", "--embeddings", bad, *out)
    write_table(tmp_path / "gold2", {"a000-000": "s1"})
    message = call_fails(
        "cluster", "--embeddings", corpus[0], *out, "--utt2spk", tmp_path / "gold2"
    )
    assert "gold2: no speaker for utterance" in message
    for option, value in (("--min-cluster-size", 1), ("--min-samples", 0)):
        assert option in call_fails("cluster", "--embeddings", corpus[0], *out, option, value)
    assert not (tmp_path / "clusters/clusters.json").exists()


def test_search_in_lists_finds_what_all_distances_show():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(900, 8)).astype(np.float32)
    vectors[600:] = vectors[:300]  # copies: distance 0
    lists = np.sort(rng.integers(20, size=900))
    order = rng.permutation(900)  # number of the vector at each place
    index = InvertedLists(
        vectors[order], order.astype(np.int32), np.searchsorted(lists, np.arange(1, 21))
    )
    everywhere = np.tile(np.arange(20), (900, 1))
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=2)
    ids, found = index.search(vectors, everywhere, 5)
    assert found == pytest.approx(np.sort(distances, axis=1)[:, :5], abs=1e-5)
    assert np.take_along_axis(distances, ids.astype(int), 1) == pytest.approx(found, abs=1e-5)

    components = (np.arange(900) % 3).astype(np.int32)
    distances[components[:, None] == components] = np.inf
    ids, found = index.search(vectors, everywhere, 5, (components, components))
    assert found == pytest.approx(np.sort(distances, axis=1)[:, :5], abs=1e-5)

    ids, found = index.search(vectors[:2], np.zeros((2, 1), int), 100)
    size = index.ends[0]
    assert (ids[:, size:] == -1).all()
    assert np.isinf(found[:, size:]).all()
    assert sorted(ids[0, :size]) == sorted(order[:size])

    nearest = nearest_centroids(vectors[:300], vectors[:600], 3)
    distances = np.linalg.norm(vectors[:300, None] - vectors[:600], axis=2)
    assert (nearest == np.argsort(distances, axis=1)[:, :3]).all()


def test_search_among_many_copies():
    """A list that holds thousands of copies: few are kept for each query, and all queries agree."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3000, 8)).astype(np.float32)
    vectors[500:2500] = vectors[500]
    index = InvertedLists(vectors, np.arange(3000, dtype=np.int32), np.array([2600, 3000]))
    everywhere = np.tile([1, 0], (3000, 1))
    ids, found = index.search(vectors, everywhere, 5)
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=2)
    assert found == pytest.approx(np.sort(distances, axis=1)[:, :5], abs=1e-5)
    assert len(np.unique(ids[500:2500])) < 20  # so that they are one component of the graph


def test_half_of_the_vectors_in_an_ark(tmp_path):
    """Matrices in a bare ark, speakers in their second half: with and without gold speakers."""
    vectors, gold = speakers()
    rng = np.random.default_rng(1)
    other = 5 * rng.normal(size=(len(vectors), 100))
    with ArkWriter(tmp_path / "feats.ark") as writer:
        for name, first in zip(sorted(vectors), other, strict=True):
            rows = np.concatenate([first, vectors[name]]) + 0.1 * rng.normal(size=(4, 200))
            writer.write(name, rows)
    write_table(tmp_path / "gold", gold)
    options = ("--half_index", 100, "--outliers", "own")
    cluster = (STEPS / "cluster.sh", *options, tmp_path / "feats.ark", tmp_path / "half")
    assert run(*cluster).returncode == 0
    utt2spk = read_table(tmp_path / "half/utt2spk")
    assert agreement(gold, utt2spk) == 1
    assert not (tmp_path / "half/scores.json").exists()

    ark = ("--embeddings", tmp_path / "feats.ark", "--utt2spk", tmp_path / "gold")
    for algorithm in ("exact", "approximate"):
        out = ("--out", tmp_path / algorithm, "--algorithm", algorithm)
        call("cluster", *ark, *out, *options)
        assert json.loads((tmp_path / algorithm / "scores.json").read_text())["ari"] == 1
    call("cluster", *ark, "--out", tmp_path / "whole")
    assert json.loads((tmp_path / "whole/scores.json").read_text())["ari"] < 1
    for wrong in (200, 0, -3):
        message = call_fails("cluster", *ark, "--out", tmp_path / "none", "--half_index", wrong)
        assert "half-index" in message


def test_kmeans(corpus, tmp_path):
    embeddings, gold = corpus
    options = ("--embeddings", embeddings, "--cluster_algorithm", "kmeans", "--n_clusters")
    for out, threads, seed in (("a", 1, 3), ("b", 2, 3), ("c", 2, 4)):
        settings = (17, "--threads", threads, "--seed", seed)
        call("cluster", *options, *settings, "--out", tmp_path / out)
    one, same = (read_table(tmp_path / out / "utt2spk") for out in "ab")
    assert one == same
    summary = json.loads((tmp_path / "a/clusters.json").read_text())
    assert (summary["clusters"], summary["outliers"]) == (17, 0)
    assert agreement(gold, one) > 0.9
    again = ("--embeddings", embeddings, "--clusters", tmp_path / "a", "--out", tmp_path / "again")
    call("assign", *again)
    assert read_table(tmp_path / "again/utt2spk") == one
    message = call_fails("cluster", *options, 102, "--out", tmp_path / "none")
    assert "between 1 and the 101 utterances" in message


@pytest.mark.parametrize("metric", ["euclidean", "cityblock", "chebyshev"])
def test_metrics_and_normalisation(tmp_path, metric):
    """Vectors of all lengths: only the normalised ones show the speakers."""
    vectors, gold = speakers()
    rng = np.random.default_rng(0)
    write_vectors(tmp_path, {u: v * 10 ** rng.uniform(-2, 2) for u, v in vectors.items()})
    scores = {}
    for normalize in ("true", "false"):
        options = ("--metric", metric, "--normalize", normalize, "--out", tmp_path / normalize)
        call("cluster", "--embeddings", tmp_path, *options)
        scores[normalize] = agreement(gold, read_table(tmp_path / normalize / "utt2spk"))
    assert scores["true"] > 0.9
    assert scores["false"] < 0.5
    again = ("--clusters", tmp_path / "true", "--out", tmp_path / "again")
    call("assign", "--embeddings", tmp_path, *again)
    assert agreement(gold, read_table(tmp_path / "again/utt2spk")) > 0.9
    if metric != "euclidean":
        approximate = ("--algorithm", "approximate", "--out", tmp_path / "none")
        message = call_fails("cluster", "--embeddings", tmp_path, *options[:2], *approximate)
        assert "takes --metric cosine or euclidean" in message


def test_copies_and_plain_euclidean(tmp_path):
    """Lengths count for plain Euclidean distance only; copies of one vector are no special case."""
    rng = np.random.default_rng(0)
    direction = rng.normal(size=20)
    vectors = {
        f"{length}-{i:03d}": length * direction + (i % 40 > 20) * 0.01 * rng.normal(size=20)
        for length in (1, 2)
        for i in range(80)
    }
    write_vectors(tmp_path, vectors)
    for algorithm in ("exact", "approximate"):
        out = tmp_path / algorithm
        options = ("--out", out, "--metric", "euclidean", "--min-samples", 5)
        call("cluster", "--embeddings", tmp_path, "--algorithm", algorithm, *options)
        utt2spk = read_table(out / "utt2spk")
        assert not {utt2spk[u] for u in utt2spk if u[0] == "1"} & {
            utt2spk[u] for u in utt2spk if u[0] == "2"
        }


def test_copies_do_not_make_others_improbable(tmp_path):
    """They are a rounding error apart, and a cluster seemed to be as dense as that."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(2, 20))
    vectors = {f"{i % 2}-{i:03d}": centres[i % 2] + 0.3 * rng.normal(size=20) for i in range(60)}
    vectors |= {f"0-copy{i}": vectors["0-000"] for i in range(3)}
    write_vectors(tmp_path / "emb", vectors)
    for metric in ("cosine", "euclidean"):
        out = tmp_path / metric
        options = ["--metric", metric, "--min-samples", 1]
        call("cluster", "--embeddings", tmp_path / "emb", "--out", out, *options)
        probabilities = read_table(out / "probabilities")
        others = [float(p) for u, p in probabilities.items() if u[0] == "0" and "copy" not in u]
        assert np.median(others) > 0.2


def test_a_graph_of_other_vectors_is_not_taken_for_that_of_the_clusters(corpus, tmp_path):
    clusters, new = tmp_path / "clusters", tmp_path / "new"
    call("cluster", "--embeddings", corpus[0], "--out", clusters)
    again = ["assign", "--embeddings", corpus[0], "--clusters", clusters, "--out", new]
    call(*again)
    call("cluster_grid", "--embeddings", corpus[0], "--out", clusters, "--metric", "euclidean")
    assert "graph: is of other vectors than the clusters by now" in call_fails(*again)
    call("cluster_grid", "--embeddings", corpus[0], "--out", clusters)
    call(*again)


def test_nobody_gets_the_name_of_an_outlier(tmp_path):
    clusters = {"a": "c00000", "b": "c00000", "c": "o000003"}
    corrected = Corrected(clusters, {"c": "c00000"}, ["d"], {})
    assert with_everyone(corrected) == clusters | {"d": "o000004"}


def test_steps(corpus, tmp_path):
    clusters = tmp_path / "clusters"
    steps = [
        ("cluster.sh", "--nj", 2, "--outliers", "own", corpus[0], clusters),
        ("cluster_grid.sh", "--min-samples", "1,2", "--utt2spk", "gold", corpus[0], clusters),
        ("assign_clusters.sh", corpus[0], clusters, tmp_path / "again"),
    ]
    for name, *words in steps:
        done = run(STEPS / name, *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr + done.stdout
    one, other = read_table(clusters / "utt2spk"), read_table(tmp_path / "again/utt2spk")
    assert agreement(one, other) > 0.99
