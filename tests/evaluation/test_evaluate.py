"""Evaluation: figures against their definitions, and the program on good and bad input."""

import json
import random
import sys
from itertools import combinations

import numpy as np
import pytest
from helpers.data import write_ark
from helpers.programs import ROOT, call, call_fails
from helpers.shell import run
from sklearn.metrics import roc_curve

from unspeech.evaluation import scores
from unspeech.evaluation.scores import detection_costs, score_trials, verification_scores
from unspeech.kaldi.archives import ArkWriter
from unspeech.kaldi.tables import read_table, write_table
from unspeech.kaldi.vectors import load_embeddings


def speaker_vectors(speakers=8, utterances=12, noise=1.5, dim=20, seed=0):
    """Unit vectors around a direction for each speaker, and the speakers."""
    rng = np.random.default_rng(seed)
    gold = np.repeat(np.arange(speakers), utterances)
    vectors = rng.normal(size=(speakers, dim))[gold] + noise * rng.normal(size=(len(gold), dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), gold


def write_embeddings(directory, arrays):
    return write_ark(directory / "embedding.ark", arrays).parent


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Embeddings of 4 speakers with 5 utterances each, their utt2spk and clusters."""
    directory = tmp_path_factory.mktemp("corpus")
    vectors, gold = speaker_vectors(4, 5, noise=0.4)
    names = [f"s{speaker}-u{i:02}" for i, speaker in enumerate(gold)]
    write_embeddings(directory, dict(zip(names, vectors, strict=True)))
    write_table(directory / "utt2spk", {name: name.split("-")[0] for name in names})
    clusters = {name: f"c{min(2, speaker)}" for name, speaker in zip(names, gold, strict=True)}
    clusters[names[0]] = "o000000"
    del clusters[names[-1]]
    write_table(directory / "clusters/utt2spk", clusters)
    write_table(directory / "clusters/outliers", {names[0]: "c0", names[-1]: "c2"})
    return directory


def evaluate(corpus, out, *options):
    call(
        "evaluate", "--embeddings", corpus, "--utt2spk", corpus / "utt2spk", "--out", out, *options
    )
    return json.loads((out / "scores.json").read_text())


def test_error_rates_are_those_of_all_pairs():
    vectors, gold = speaker_vectors()
    pairs = np.array(list(combinations(range(len(gold)), 2)))
    cosines = (vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(axis=1)
    same = gold[pairs[:, 0]] == gold[pairs[:, 1]]
    alarms, hits, _ = roc_curve(same, cosines, drop_intermediate=False)
    eer = np.interp(0, alarms - (1 - hits), alarms)
    dcf = min(0.01 * (1 - hits) + 0.99 * alarms) / 0.01
    trials = score_trials(vectors, gold)
    got = verification_scores(trials)
    assert got["eer"] == pytest.approx(100 * eer, abs=0.02)
    assert got["min_dcf"] == pytest.approx(dcf, abs=1e-3)
    assert (got["trials"], got["trials_target"], got["trials_nontarget"]) == (
        "all",
        same.sum(),
        (~same).sum(),
    )
    accepted = cosines >= got["eer_threshold"]
    assert np.mean(accepted[~same]) == pytest.approx(eer, abs=0.01)
    assert np.mean(~accepted[same]) == pytest.approx(eer, abs=0.01)
    assert detection_costs(trials)[[0, -1]] == pytest.approx([99, 1])


@pytest.mark.parametrize(
    ("angles", "eer", "min_dcf"),
    [
        ([0, 1, 90, 91], 0, 0),  # speakers apart
        ([0, 0, 0, 0], 50, 1),  # one score for all pairs: nothing to tell speakers by
        ([0, 90, 1, 91], 75, 1),  # 3 of the 4 others score above both same-speaker pairs
    ],
)
def test_known_error_rates(angles, eer, min_dcf):
    radians = np.radians(angles)
    vectors = np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
    got = verification_scores(score_trials(vectors, np.array([0, 0, 1, 1])))
    assert (got["eer"], got["min_dcf"]) == pytest.approx((eer, min_dcf))


def test_binned_and_sampled_trials_agree_with_all(monkeypatch):
    vectors, gold = speaker_vectors(30, 10)
    unequal = np.flatnonzero((np.arange(len(gold)) % 10 < 3) | (gold < 6))
    vectors, gold = vectors[unequal], gold[unequal]
    exact = verification_scores(score_trials(vectors, gold))
    monkeypatch.setattr(scores, "BLOCK", 37)
    monkeypatch.setattr(scores, "EXACT_UTTERANCES", 10)
    binned = verification_scores(score_trials(vectors, gold))
    assert binned["trials_resolution"] < 1e-5
    for name in ("trials_target", "trials_nontarget"):
        assert binned[name] == exact[name]
    monkeypatch.setattr(scores, "BINNED_UTTERANCES", 10)
    monkeypatch.setattr(scores, "SAMPLED_TRIALS", 300_000)
    trials = score_trials(vectors, gold, seed=3)
    sampled = verification_scores(trials)
    assert sampled["trials"] == "sampled"
    assert sampled["trials_target"] == sampled["trials_nontarget"] == 300_000
    for got, near in ((binned, 1e-3), (sampled, 0.5)):
        assert got["eer"] == pytest.approx(exact["eer"], abs=near)
        assert got["min_dcf"] == pytest.approx(exact["min_dcf"], abs=near / 10)
    again = score_trials(vectors, gold, seed=3)
    assert np.array_equal(again.targets, trials.targets)


@pytest.mark.parametrize("same", [True, False])
def test_sampled_pairs_are_uniform_among_their_kind(monkeypatch, same):
    monkeypatch.setattr(scores, "SAMPLED_TRIALS", 60_000)
    speakers = np.array([1, 0, 1, 2, 1, 0])
    vectors = np.random.default_rng(0).normal(size=(6, 3))  # so each pair has a score of its own
    pairs = [p for p in combinations(range(6), 2) if (speakers[p[0]] == speakers[p[1]]) == same]
    drawn = scores._sample_scores(np.random.default_rng(1), vectors, vectors, speakers, same)
    values, counts = np.unique(np.round(drawn, 6), return_counts=True)
    assert values == pytest.approx(sorted(vectors[a] @ vectors[b] for a, b in pairs), abs=1e-5)
    assert counts / 60_000 == pytest.approx(np.full(len(pairs), 1 / len(pairs)), rel=0.1)


def test_evaluation_leaves_scores_and_pictures(corpus, tmp_path):
    got = evaluate(corpus, tmp_path, "--clusters", corpus / "clusters", "--seed", 5)
    assert got["eer"] < 5
    assert (got["trials"], got["seed"]) == ("all", 5)
    assert (got["speakers"], got["utterances"], got["clusters"], got["outliers"]) == (4, 20, 3, 2)
    assert got["pairwise_recall"] == pytest.approx((6 + 10 + 10 + 6) / 40)
    assert got["command"].startswith("python3 -m unspeech.evaluate --embeddings")
    for name in ("det", "distances", "tsne"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert evaluate(corpus, tmp_path / "again", "--seed", 5)["eer"] == got["eer"]


def test_vectors_of_one_dimension(tmp_path):
    vectors, gold = speaker_vectors(3, 4)
    names = [f"s{speaker}-u{i}" for i, speaker in enumerate(gold)]
    write_embeddings(tmp_path, {u: v[:1] for u, v in zip(names, vectors, strict=True)})
    write_table(tmp_path / "utt2spk", {u: u.split("-")[0] for u in names})
    assert evaluate(tmp_path, tmp_path / "out", "--metric", "euclidean")["utterances"] == 12
    assert (tmp_path / "out/tsne.png").exists()


def test_evaluation_of_a_few_matrices(tmp_path):
    arrays = {
        f"{s}-{u}": np.eye(4)[[i, i, 3]] + 0.1 * u for i, s in enumerate("ab") for u in (1, 2)
    }
    write_embeddings(tmp_path, arrays)
    (tmp_path / "embedding.scp").rename(tmp_path / "ivector_online.scp")
    write_table(tmp_path / "utt2spk", {utterance: utterance[0] for utterance in arrays})
    got = evaluate(tmp_path, tmp_path / "out")
    assert (got["eer"], got["utterances"], "ari" in got) == (0, 4, False)
    utterances, vectors = load_embeddings(tmp_path / "embedding.ark")
    mean = arrays["a-2"].mean(axis=0)
    assert vectors[utterances.index("a-2")] == pytest.approx(mean / np.linalg.norm(mean))


def test_euclidean_scores_and_halves(corpus, tmp_path):
    """Cosines are those of unit vectors; lengths and the second half count when they are asked."""
    utterances, vectors = load_embeddings(corpus)
    rng = np.random.default_rng(0)
    lengths = 10 ** rng.uniform(-1, 1, size=(len(vectors), 1))
    noise = 10 * rng.normal(size=vectors.shape)
    arrays = np.concatenate([lengths * vectors, noise], axis=1)
    write_embeddings(tmp_path, dict(zip(utterances, arrays, strict=True)))
    write_table(tmp_path / "utt2spk", read_table(corpus / "utt2spk"))

    def eer(*options):
        return evaluate(tmp_path, tmp_path / "out", *options)["eer"]

    half, euclidean = ("--half_index", vectors.shape[1]), ("--metric", "euclidean")
    expected = evaluate(corpus, tmp_path / "out")["eer"]
    assert eer(*half) == pytest.approx(expected)
    assert eer(*half, *euclidean, "--normalize", "true") == pytest.approx(expected)
    distances = np.linalg.norm((lengths * vectors)[:, None] - lengths * vectors, axis=2)
    pairs = np.triu_indices(len(vectors), k=1)
    same = np.array([a[:2] == b[:2] for a in utterances for b in utterances])
    false, true, _ = roc_curve(same.reshape(distances.shape)[pairs], -distances[pairs])
    got = eer(*half, *euclidean)
    assert got == pytest.approx(100 * np.interp(0, false + true - 1, false), abs=1)
    assert got > expected + 5
    assert eer() > expected + 5


@pytest.mark.parametrize("far", [1, 1000, 1e6])
def test_one_strange_vector_does_not_coarsen_the_others_scores(far, monkeypatch):
    vectors, gold = speaker_vectors(20, 10)
    vectors[0] *= far
    vectors += 100
    sides = scores.euclidean_sides(vectors.astype(np.float32))
    monkeypatch.setattr(scores, "EXACT_UTTERANCES", 10)
    binned = verification_scores(score_trials(sides[0], gold, 1, sides[1]))
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=2)
    pairs = np.triu_indices(len(vectors), k=1)
    false, true, _ = roc_curve((gold[:, None] == gold)[pairs], -distances[pairs])
    assert binned["eer"] == pytest.approx(100 * np.interp(0, false + true - 1, false), abs=0.5)


def test_vectors_that_are_all_alike(tmp_path):
    """t-SNE divides by their deviation, and crashed."""
    write_embeddings(tmp_path, {f"s{i % 2}-{i:02d}": np.ones(64) / 8 for i in range(40)})
    write_table(tmp_path / "utt2spk", {f"s{i % 2}-{i:02d}": f"s{i % 2}" for i in range(40)})
    assert evaluate(tmp_path, tmp_path / "out")["eer"] == pytest.approx(50, abs=1)


def test_speakers_that_are_drawn_without_embeddings(corpus, tmp_path):
    utt2spk = read_table(corpus / "utt2spk") | {f"z{i}-1": f"z{i}" for i in range(500)}
    write_table(tmp_path / "utt2spk", utt2spk)
    options = ["--embeddings", corpus, "--utt2spk", tmp_path / "utt2spk", "--max-spks", 2]
    said = call_fails("evaluate", *options, "--out", tmp_path / "out")
    assert "none of the speakers that --max-spks has drawn is in" in said


def test_some_speakers(corpus, tmp_path, capsys):
    utt2spk = read_table(corpus / "utt2spk")
    chosen = random.Random(7).sample(sorted(set(utt2spk.values())), 2)  # as the original program
    got = evaluate(
        corpus, tmp_path, "--max_spks", 2, "--random_seed", 7, "--clusters", corpus / "clusters"
    )
    assert f"2 speakers, seed 7: {' '.join(chosen)}" in capsys.readouterr().out
    assert (got["speakers"], got["utterances"]) == (2, 10)
    assert evaluate(corpus, tmp_path, "--max_spks", 100)["speakers"] == 4
    options = ("--embeddings", corpus, "--utt2spk", corpus / "utt2spk", "--out", tmp_path / "none")
    message = call_fails("evaluate", *options, "--max_spks", 0)
    assert "--max-spks: takes an integer, at least 2, or -1, not '0'" in message


def test_one_new_utterance_in_a_cluster_is_no_outlier(corpus, tmp_path):
    utterances = list(read_table(corpus / "utt2spk"))
    clusters = dict.fromkeys(utterances, "c00001") | {
        utterances[0]: "c00002",
        utterances[1]: "o000003",
    }
    write_table(tmp_path / "clusters/utt2spk", clusters)
    write_table(tmp_path / "clusters/outliers", {utterances[1]: "c00002", utterances[2]: "c00001"})
    got = evaluate(corpus, tmp_path, "--clusters", tmp_path / "clusters")
    assert (got["clusters"], got["outliers"]) == (2, 1), "one of the two has joined its nearest"
    (tmp_path / "clusters/outliers").unlink()
    options = ("--embeddings", corpus, "--utt2spk", corpus / "utt2spk", "--out", tmp_path / "none")
    message = call_fails("evaluate", *options, "--clusters", tmp_path / "clusters")
    assert "clusters/outliers: no such file; cluster again" in message


def test_a_wrong_utt2spk_is_refused(corpus, tmp_path):
    utt2spk = read_table(corpus / "utt2spk")
    last = max(utt2spk)

    def refusal(table):
        write_table(tmp_path / "utt2spk", table)
        return call_fails(
            "evaluate", "--embeddings", corpus, "--utt2spk", tmp_path / "utt2spk", "--out",
            tmp_path / "out",
        )  # fmt: skip

    without = {utterance: speaker for utterance, speaker in utt2spk.items() if utterance != last}
    assert f"{tmp_path / 'utt2spk'}: no speaker for utterance '{last}'" in refusal(without)
    assert "error rates need a second" in refusal(dict.fromkeys(utt2spk, "one"))
    assert "no speaker has two utterances" in refusal({u: u for u in utt2spk})
    assert not (tmp_path / "out").exists()


def test_clusters_of_other_utterances_are_refused(corpus, tmp_path):
    write_table(tmp_path / "utt2spk", {"stranger": "c0"})
    (tmp_path / "outliers").touch()
    message = call_fails(
        "evaluate", "--embeddings", corpus, "--utt2spk", corpus / "utt2spk", "--clusters", tmp_path,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert "utterance 'stranger' is not among the embeddings" in message


def test_clusters_of_half_of_the_utterances_are_refused(corpus, tmp_path):
    clusters = read_table(corpus / "clusters/utt2spk")
    write_table(tmp_path / "utt2spk", {u: clusters[u] for u in list(clusters)[:10]})
    (tmp_path / "outliers").touch()
    message = call_fails(
        "evaluate", "--embeddings", corpus, "--utt2spk", corpus / "utt2spk", "--clusters", tmp_path,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert f"{tmp_path}: is not of utterance 's2-u10' and 9 more of 20" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(3), "is zero"),
        ([1, np.nan, 0], "NaN"),
        ([[1, 2, 3], [np.inf, 0, 0]], "NaN or infinite"),
        (np.ones(4), "its shape is (4,)"),
        (np.ones((2, 4)), "its shape is (4,)"),
    ],
)
def test_vectors_without_a_direction_are_named(tmp_path, array, said):
    write_embeddings(tmp_path, {"good": np.ones(3), "bad": array})
    message = call_fails(
        "evaluate", "--embeddings", tmp_path, "--utt2spk", "none", "--out", tmp_path / "out"
    )
    assert f"{tmp_path / 'embedding.scp'}: utterance 'bad'" in message
    assert said in message


def test_a_directory_without_embeddings_is_refused(tmp_path):
    message = call_fails("evaluate", "--embeddings", tmp_path, "--utt2spk", "x", "--out", "y")
    assert "holds neither embedding.scp nor ivector_online.scp" in message


def test_an_utterance_that_is_twice_in_an_ark_is_named(tmp_path):
    with ArkWriter(tmp_path / "twice.ark") as writer:
        for utterance in ("a", "b", "b"):
            writer.write(utterance, np.ones(3))
    message = call_fails(
        "evaluate", "--embeddings", tmp_path / "twice.ark", "--utt2spk", "x", "--out", "y"
    )
    assert "utterance 'b' occurs twice" in message


def test_programs_start_without_heavy_imports():
    script = (
        "import sys, unspeech.evaluate;"
        "print([m for m in ('tensorflow', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    done = run(sys.executable, "-c", script, PYTHONPATH=str(ROOT / "python"))
    assert done.stdout.strip() == "[]", done.stderr
