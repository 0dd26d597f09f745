"""Clustering: what it finds, what it leaves, and what it says about input it cannot cluster."""

import json

import numpy as np
import pytest
from conftest import call, call_fails

from unspeech.archives import ArkWriter
from unspeech.tables import read_table, write_table


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
    with ArkWriter(folder / "embedding.ark") as writer:
        for name in sorted(vectors):
            writer.write(name, vectors[name])
    return folder


@pytest.fixture
def corpus(tmp_path):
    vectors, gold = speakers()
    write_table(tmp_path / "gold", gold)
    return write_vectors(tmp_path / "emb", vectors), gold


def test_finds_speakers_and_outliers(corpus, tmp_path):
    embeddings, gold = corpus
    out = tmp_path / "clusters"
    call("cluster", "--embeddings", embeddings, "--utt2spk", tmp_path / "gold", "--out", out)
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


@pytest.mark.parametrize(("fate", "kept"), [("nearest", 101), ("leave-out", 96)])
def test_outliers_fate(corpus, tmp_path, fate, kept):
    out = tmp_path / "clusters"
    call("cluster", "--embeddings", corpus[0], "--out", out, "--outliers", fate)
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
