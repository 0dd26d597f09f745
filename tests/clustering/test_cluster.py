"""Clustering: what it finds, what it leaves, and what it says about input it cannot cluster."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import sklearn.cluster
from helpers.data import write_ark
from helpers.programs import ROOT, call, call_fails
from helpers.shell import STEPS, paused, run

from unspeech.clustering.inverted_lists import InvertedLists, nearest_centroids
from unspeech.clustering.scores import clustering_scores
from unspeech.kaldi.archives import ArkWriter
from unspeech.kaldi.tables import read_table, write_table

OWN = ("--outliers", "own")  # scored as speakers of their own


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


def test_search_in_cells_finds_what_all_distances_show():
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


def agreement(one: dict, other: dict) -> float:
    """ARI of two {utterance: cluster}."""
    names = sorted(one)
    return clustering_scores([one[u] for u in names], [other[u] for u in names])["ari"]


def made(out) -> list[bytes]:
    files = ("utt2spk", "spk2utt", "probabilities", "graph/links.npz", "members.npz")
    return [(out / name).read_bytes() for name in files if (out / name).exists()]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """3000 utterances, loose enough that clusters are not obvious: embeddings, gold, clusters."""
    folder = tmp_path_factory.mktemp("many")
    vectors, gold = speakers(150, 18, strays=300)
    rng = np.random.default_rng(1)
    vectors = {u: v + rng.uniform(0, 0.9) * rng.normal(size=100) for u, v in vectors.items()}
    write_table(folder / "gold", gold)
    write_vectors(folder, vectors)
    call("cluster", "--embeddings", folder, *OWN, "--out", folder / "approximate", "--threads", 2)
    return folder, vectors, gold


def test_approximate_agrees_with_exact(many):
    folder, _, gold = many
    settings = json.loads((folder / "approximate/clusters.json").read_text())["settings"]
    assert settings["algorithm"] == "approximate"
    call("cluster", "--embeddings", folder, *OWN, "--out", folder / "exact", "--algorithm", "exact")
    exact, approximate = (read_table(folder / n / "utt2spk") for n in ("exact", "approximate"))
    assert agreement(exact, approximate) > 0.99
    assert agreement(gold, approximate) > agreement(gold, exact) - 0.003


def test_threads_and_jobs_do_not_matter(many, tmp_path, monkeypatch):
    monkeypatch.setattr("unspeech.clustering.neighbours.BLOCK", 1024)
    monkeypatch.setattr("unspeech.clustering.graph.BLOCK", 1024)
    folder = many[0]
    graph = tmp_path / "jobs/graph"
    call("neighbours", "index", "--embeddings", folder, "--graph", graph, "--threads", 3)
    for job in (3, 1):  # the second job is left to the last command
        call("neighbours", "search", "--graph", graph, "--job", job, "--jobs", 3)
    call("cluster", "--embeddings", folder, *OWN, "--out", tmp_path / "jobs", "--threads", 1)
    assert made(tmp_path / "jobs") == made(folder / "approximate")


def test_goes_on_after_kills(many, tmp_path):
    """Killed before each phase ends in turn, it repeats none of those before."""
    out = tmp_path / "clusters"
    command = [sys.executable, "-m", "unspeech.cluster", "--embeddings", many[0], "--out", out]
    command += OWN
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    phases = ["vectors", "index", "neighbours", "links"]
    stamps = [f"*/graph/{phase}.json" for phase in phases] + [f"{out}/utt2spk"]
    for done, stamp in enumerate(stamps):
        with paused(
            command, stamp, tmp_path / "flag", env=environment, stdout=subprocess.PIPE, text=True
        ) as program:
            program.kill()
            said = program.stdout.read()
        for phase in phases:
            assert (f"{phase}: there already" in said) == (phase in phases[: max(0, done - 1)])
    said = run(*command, **environment).stdout
    assert said.count("there already") == len(phases)
    assert made(out) == made(many[0] / "approximate")


def test_dbscan(many, tmp_path):
    folder, vectors, _ = many
    options = ("--embeddings", folder, "--outliers", "own")
    options += ("--cluster_algorithm", "DBSCAN", "--dbscan_eps", 0.75)
    for algorithm in ("exact", "approximate"):
        out = ("--out", tmp_path / algorithm, "--algorithm", algorithm)
        call("cluster", *options, *out)
    exact, approximate = (read_table(tmp_path / n / "utt2spk") for n in ("exact", "approximate"))
    unit = np.array([vectors[u] / np.linalg.norm(vectors[u]) for u in exact], np.float32)
    labels = sklearn.cluster.DBSCAN(eps=0.75, min_samples=3).fit_predict(unit)
    assert 10 < labels.max() < 150
    labels = np.where(labels < 0, -1 - np.arange(len(labels)), labels)
    assert agreement(exact, dict(zip(exact, labels, strict=True))) == 1
    assert agreement(exact, approximate) > 0.99
    for algorithm, found in (("exact", exact), ("approximate", approximate)):
        again = ("--embeddings", folder, "--clusters", tmp_path / algorithm)
        call("assign", *again, "--out", tmp_path / "again")
        assigned, outliers = (read_table(tmp_path / "again" / n) for n in ("utt2spk", "outliers"))
        assert set(outliers) == set(read_table(tmp_path / algorithm / "outliers"))
        inliers = found.keys() - outliers.keys()
        # A border point may be within reach of two clusters.
        assert np.mean([assigned[u] == found[u] for u in inliers]) > 0.99
    message = call_fails("cluster", *options[:-1], 0, "--out", tmp_path / "none")
    assert "--dbscan-eps: takes a finite number, more than 0, not '0'" in message


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


def test_grid_uses_the_graph(many, capsys):
    folder, _, gold = many
    options = ("--embeddings", folder, "--out", folder / "approximate")
    sizes = ("--min_cluster_size", "3,5", "--min_samples", "1,2,5")
    capsys.readouterr()
    call("cluster_grid", *options, *sizes, "--utt2spk", folder / "gold")
    assert capsys.readouterr().out.count("there already") == 4
    header, *lines = (folder / "approximate/grid.tsv").read_text().splitlines()
    rows = [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]
    assert len(rows) == 6
    row = next(r for r in rows if r["min_cluster_size"] == "5" and r["min_samples"] == "2")
    ari = agreement(gold, read_table(folder / "approximate/utt2spk"))
    assert float(row["ari"]) == pytest.approx(ari, abs=1e-5)
    assert (folder / "approximate/grid.png").stat().st_size > 1000
    call("cluster_grid", *options, *sizes)
    assert "stability" in (folder / "approximate/grid.tsv").read_text()


@pytest.mark.parametrize("algorithm", ["exact", "approximate"])
def test_new_utterances_join_clusters(many, tmp_path, algorithm):
    folder, vectors, gold = many
    rng = np.random.default_rng(2)
    old = {u for u in vectors if rng.random() < 0.5}
    halves = [tmp_path / "old", tmp_path / "new"]
    write_vectors(halves[0], {u: vectors[u] for u in old})
    write_vectors(halves[1], {u: v for u, v in vectors.items() if u not in old})
    clusters, new = tmp_path / "clusters", tmp_path / "new_clusters"
    call("cluster", "--embeddings", halves[0], *OWN, "--out", clusters, "--algorithm", algorithm)
    call("assign", "--embeddings", halves[1], "--clusters", clusters, "--out", new)
    joined = read_table(clusters / "utt2spk") | read_table(new / "utt2spk")
    whole = read_table(folder / "approximate/utt2spk")
    assert agreement(gold, joined) > agreement(gold, whole) - 0.02
    outliers = [name for name in joined.values() if name.startswith("o")]
    assert len(outliers) == len(set(outliers))

    probabilities = read_table(new / "probabilities")
    sure = [u for u, p in probabilities.items() if float(p) >= 0.8]
    assert 0 < len(sure) < len(probabilities)
    options = ("--min-probability", 0.8, "--outliers", "leave-out")
    call("assign", "--embeddings", halves[1], "--clusters", clusters, "--out", new, *options)
    assert abs(len(read_table(new / "utt2spk")) - len(sure)) < 5  # rounding


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


def test_assign_needs_a_clustering_of_the_same_model(many, tmp_path):
    options = ("--embeddings", many[0], "--out", tmp_path / "out")
    assert "clusters.json: no such file" in call_fails("assign", *options, "--clusters", tmp_path)
    other = write_vectors(tmp_path / "other", {"a": np.ones(3)})
    message = call_fails(
        *("assign", "--embeddings", other, "--clusters", many[0] / "approximate"),
        *("--out", tmp_path / "out"),
    )
    assert "dimension 3, but 100" in message


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
