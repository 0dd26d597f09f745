"""Clustering on a graph of neighbours: its phases, restarts, and utterances that come later."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import sklearn.cluster
from helpers.programs import ROOT, call, call_fails
from helpers.shell import paused, run
from helpers.vectors import agreement, speakers, write_vectors

from unspeech.kaldi.tables import read_table, write_table

OWN = ("--outliers", "own")  # scored as speakers of their own


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


def test_copies_are_a_cluster(many, tmp_path):
    """Silence, or one recording under many names: the clusters of the others stay as they are."""
    vectors = many[1]
    copies = {f"z{i:04d}": vectors["a000-000"] for i in range(1500)}
    write_vectors(tmp_path, vectors | copies)
    found = {}
    for algorithm in ("exact", "approximate"):
        out = tmp_path / algorithm
        call("cluster", "--embeddings", tmp_path, *OWN, "--out", out, "--algorithm", algorithm)
        found[algorithm] = read_table(out / "utt2spk")
        assert len({found[algorithm][u] for u in copies}) == 1
    assert agreement(found["exact"], found["approximate"]) > 0.99


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


def test_grid_uses_the_graph(many, tmp_path, capsys):
    folder, _, gold = many
    options = ("--embeddings", folder, "--out", folder / "approximate")
    sizes = ("--min_cluster_size", "3,5", "--min_samples", "1,2,5")
    capsys.readouterr()
    call("cluster_grid", *options, *sizes, *OWN, "--utt2spk", folder / "gold")
    assert capsys.readouterr().out.count("there already") == 4
    header, *lines = (folder / "approximate/grid.tsv").read_text().splitlines()
    rows = [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]
    assert len(rows) == 6
    row = next(r for r in rows if r["min_cluster_size"] == "5" and r["min_samples"] == "2")
    ari = agreement(gold, read_table(folder / "approximate/utt2spk"))
    assert float(row["ari"]) == pytest.approx(ari, abs=1e-5)
    assert (folder / "approximate/grid.png").stat().st_size > 1000
    gold = ("--utt2spk", folder / "gold")
    for policy in ("nearest", "leave-out"):  # both score as the clustering itself does
        outliers = ("--outliers", policy, *gold)
        call("cluster_grid", *options, "--min_cluster_size", 5, "--min_samples", 2, *outliers)
        call("cluster", "--embeddings", folder, "--out", tmp_path / policy, *outliers)
        scores = json.loads((tmp_path / policy / "scores.json").read_text())
        header, line = (folder / "approximate/grid.tsv").read_text().splitlines()
        row = dict(zip(header.split("\t"), line.split("\t"), strict=True))
        assert float(row["ari"]) == pytest.approx(scores["ari"], abs=1e-5)
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


def test_assign_needs_a_clustering_of_the_same_model(many, tmp_path):
    options = ("--embeddings", many[0], "--out", tmp_path / "out")
    assert "clusters.json: no such file" in call_fails("assign", *options, "--clusters", tmp_path)
    other = write_vectors(tmp_path / "other", {"a": np.ones(3)})
    message = call_fails(
        *("assign", "--embeddings", other, "--clusters", many[0] / "approximate"),
        *("--out", tmp_path / "out"),
    )
    assert "dimension 3, but 100" in message
