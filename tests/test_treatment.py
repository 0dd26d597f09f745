"""Treatments of embeddings, learnt from the training corpus without labels; normalised scores."""

import json
import shutil

import numpy as np
import pytest
from conftest import call, call_fails
from shell import STEPS, run
from test_evaluate import write_embeddings

from unspeech.archives import iterate_arrays
from unspeech.errors import UnspeechError
from unspeech.scores import adaptive_sides, score_trials, verification_scores
from unspeech.tables import write_table
from unspeech.treatment import load_treatment
from unspeech.vectors import load_embeddings

DIM = 12


def room_vectors(speakers: int, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors that say more about the room (8 dimensions) than about the speaker (4 of 12).

    Returns: (speakers * 20, DIM), a mean of 1 and `shift` added, and the speaker of each.
    """
    rng = np.random.default_rng([seed, 1])
    gold = np.repeat(np.arange(speakers), 20)
    voice = rng.normal(size=(speakers, 4))[gold]
    room = 1.5 * rng.normal(size=(len(gold), 8))
    vectors = np.concatenate([voice, room], axis=1) + 0.1 * rng.normal(size=(len(gold), DIM))
    return vectors + 1 + shift * np.sin(np.arange(DIM)), gold


def eer(vectors: np.ndarray, gold: np.ndarray) -> float:
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return verification_scores(score_trials(vectors.astype(np.float32), gold))["eer"]


def write(directory, vectors, gold):
    directory.mkdir()
    names = [f"s{speaker:02}-u{i:03}" for i, speaker in enumerate(gold)]
    write_table(directory / "utt2spk", {name: name[:3] for name in names})
    return write_embeddings(directory, dict(zip(names, vectors, strict=True)))


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Embeddings of 30 speakers whose clusters are found, but for one in a cluster of its own."""
    directory = write(tmp_path_factory.mktemp("exp") / "train", *room_vectors(30, seed=1))
    names = load_embeddings(directory)[0]
    clusters = {name: name[:3] for name in names} | {names[0]: "alone"}
    write_table(directory / "clusters/utt2spk", clusters)
    return directory


@pytest.fixture(scope="module")
def model(train, tmp_path_factory):
    model = tmp_path_factory.mktemp("exp") / "model"
    model.mkdir()
    (model / "final.ie.id").write_text("of-this-model\n")
    options = ["--embeddings", train, "--clusters", train / "clusters", "--model", model]
    call("treatment", "make", *options)
    return model


def test_centred_and_white_is_what_it_says(train, model):
    vectors = load_embeddings(train)[1]
    assert np.abs(load_treatment("center", model)(vectors).mean(axis=0)).max() < 1e-6
    for names in ("center,whiten", "center,pca"):
        white = load_treatment(names, model)(vectors)
        assert np.cov(white.T) == pytest.approx(np.eye(DIM), abs=0.3), "as it is shrunk, nearly"
    white = load_treatment("center,whiten", model)(vectors)
    turned = load_treatment("center,pca", model)(vectors)
    assert white @ white.T == pytest.approx(turned @ turned.T, abs=1e-3), "same cosines"
    few = load_treatment("center,pca:3", model)(vectors)
    assert few == pytest.approx(turned[:, :3], abs=1e-5)
    length = load_treatment("center,whiten,length", model)(vectors[:5])
    assert np.linalg.norm(length, axis=1) == pytest.approx(1)


def test_clusters_tell_what_to_ignore(model):
    vectors, gold = room_vectors(20, seed=2)
    rates = [
        eer(load_treatment(names, model)(vectors), gold)
        for names in ("center", "center,whiten", "center,wccn")
    ]
    assert min(rates[:2]) > 25
    assert rates[2] < 18


def test_order_counts_and_length_does_not(model):
    vectors, _ = room_vectors(5, seed=3)
    one = load_treatment("center,whiten,length,wccn", model)(vectors)
    other = load_treatment("center,wccn,length,whiten", model)(vectors)
    assert not np.allclose(one, other, atol=0.1)
    assert load_treatment("center,whiten", model)(7 * vectors) == pytest.approx(
        load_treatment("center,whiten", model)(vectors), abs=1e-4
    )
    row = load_treatment("center,whiten", model)(vectors[0])
    assert row == pytest.approx(load_treatment("center,whiten", model)(vectors)[0], abs=1e-5)


def test_a_domain_has_a_mean_of_its_own(tmp_path, model):
    vectors, gold = room_vectors(20, seed=4, shift=3)
    domain = write(tmp_path / "domain", vectors, gold)
    own = load_treatment("center,wccn", model, domain)(vectors)
    assert eer(own, gold) < eer(load_treatment("center,wccn", model)(vectors), gold) - 3
    centred = load_treatment("center", model, domain)(vectors)
    assert np.abs(centred.mean(axis=0)).max() < 1e-6


def test_steps_make_and_treat(tmp_path, train, model):
    made = tmp_path / "model"
    made.mkdir()
    (made / "final.ie.id").write_text("of-this-model\n")
    make = [STEPS / "make_treatment.sh", "--clusters", train / "clusters", train, made]
    new = write(tmp_path / "new", *room_vectors(5, seed=5))
    names = "center,whiten,length,wccn"
    treat = [STEPS / "treat_embeddings.sh", "--treatment", names, new, made, tmp_path / "treated"]
    missing = run(*treat)
    assert missing.returncode == 1
    assert "treatment.npz: no such file" in missing.stderr
    for command in (make, treat):
        done = run(*command)
        assert done.returncode == 0, done.stderr
        assert "nothing to do" in run(*command).stdout
    utterances, treated = load_embeddings(tmp_path / "treated", unit=False)
    expected_names, vectors = load_embeddings(new)
    expected = load_treatment(names, model)(vectors)
    assert utterances == expected_names
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert treated == pytest.approx(expected, abs=1e-5)
    refused = run(*treat[:2], names, "--domain-embeddings", new, *treat[3:])
    assert "domain_embeddings was" in refused.stderr


def test_ids_tell_treatments_apart(model, train, tmp_path):
    names = ["center", "center,whiten", "center,whiten,length"]
    ids = [load_treatment(each, model).id for each in names]
    assert len({*ids, "of-this-model"}) == 4
    assert load_treatment("center", model, train).id == ids[0], "whatever the domain"


def test_the_sample_is_limited_and_repeats(tmp_path, train, model, monkeypatch):
    monkeypatch.setattr("unspeech.treatment.SAMPLE", 50)
    (tmp_path / "final.ie.id").write_text("x\n")
    kept = []
    for seed in (1, 1, 2):
        options = ["--embeddings", train, "--model", tmp_path, "--seed", seed]
        call("treatment", "make", *options)
        with np.load(tmp_path / "treatment.npz") as arrays:
            kept.append(arrays["vectors"])
    assert kept[0].shape == (50, DIM)
    assert np.array_equal(kept[0], kept[1])
    assert not np.array_equal(kept[0], kept[2])
    with pytest.raises(UnspeechError, match="fewer than two clusters; make it with --clusters"):
        load_treatment("wccn", tmp_path)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("center,whitten", "there is no 'whitten'; there are center, whiten"),
        ("whiten:3", "there is no 'whiten:3'"),
        ("pca:13", "no pca:13: the vectors have 12 axes"),
        ("", "there is no ''"),
    ],
)
def test_unknown_treatments_are_refused(model, names, said):
    with pytest.raises(UnspeechError, match=said):
        load_treatment(names, model)


def test_wrong_input_is_refused(tmp_path, train, model):
    with pytest.raises(UnspeechError, match="12 dimensions, these have 3"):
        load_treatment("center", model)(np.ones((2, 3)))
    strange = tmp_path / "clusters"
    write_table(strange / "utt2spk", {"somebody": "c0"})
    options = ["--embeddings", train, "--model", model]
    message = call_fails("treatment", "make", *options, "--clusters", strange)
    assert "utterance 'somebody' is not in" in message
    message = call_fails("treatment", "apply", *options, "--treatment", "center")
    assert "apply needs --ark" in message
    alike = write(tmp_path / "alike", np.ones((4, DIM)), np.arange(4))
    (tmp_path / "final.ie.id").write_text("x\n")
    call("treatment", "make", "--embeddings", alike, "--model", tmp_path)
    with pytest.raises(UnspeechError, match="do not vary enough"):
        load_treatment("whiten", tmp_path)
    (tmp_path / "final.ie.id").write_text("trained on\n")
    with pytest.raises(UnspeechError, match="the model was trained on since"):
        load_treatment("center", tmp_path)


def test_normalised_scores_are_those_of_each_pair():
    rng = np.random.default_rng(0)
    vectors, cohort = (rng.normal(size=(n, 6)).astype(np.float32) for n in (7, 40))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cohort /= np.linalg.norm(cohort, axis=1, keepdims=True)
    firsts, seconds = adaptive_sides(vectors, cohort, top_n=10)
    nearest = np.sort(vectors @ cohort.T, axis=1)[:, -10:]
    for i, j in [(0, 1), (3, 6)]:
        cosine = vectors[i] @ vectors[j]
        both = [(cosine - nearest[k].mean()) / nearest[k].std() for k in (i, j)]
        assert firsts[i] @ seconds[j] == pytest.approx(np.mean(both), abs=1e-4)
    with pytest.raises(ValueError, match="larger cohort"):
        adaptive_sides(vectors, cohort[:1], top_n=10)


def test_evaluation_with_a_cohort(tmp_path, train, monkeypatch):
    """Two microphones, one of which makes all its cosines higher: a threshold for both is poor."""
    rng = np.random.default_rng(0)

    def recorded(speakers: int) -> tuple[np.ndarray, np.ndarray]:
        gold = np.repeat(np.arange(speakers), 10)
        voices = rng.normal(size=(speakers, DIM))[gold] + 0.7 * rng.normal(size=(len(gold), DIM))
        return voices + np.where(gold % 2, 2.0, 0)[:, None], gold

    test = write(tmp_path / "test", *recorded(10))
    cohort = write(tmp_path / "cohort", *recorded(40))
    options = ["--cohort", cohort, "--cohort-top", 100, test, test / "utt2spk"]
    done = run(STEPS / "evaluate.sh", *options, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "out/scores.json").read_text())
    gold = np.repeat(np.arange(10), 10)
    assert scores["eer"] < eer(load_embeddings(test)[1], gold) - 3
    assert (scores["cohort"], scores["cohort_top"]) == (400, 100)

    sides = adaptive_sides(load_embeddings(test)[1], load_embeddings(cohort)[1], 100)
    monkeypatch.setattr("unspeech.scores.EXACT_UTTERANCES", 10)
    binned = verification_scores(score_trials(sides[0], gold, 1, sides[1]))
    assert binned["eer"] == pytest.approx(scores["eer"], abs=0.01)
    monkeypatch.setattr("unspeech.scores.BINNED_UTTERANCES", 10)
    monkeypatch.setattr("unspeech.scores.SAMPLED_TRIALS", 100_000)
    sampled = verification_scores(score_trials(sides[0], gold, 1, sides[1]))
    assert sampled["eer"] == pytest.approx(scores["eer"], abs=0.6)

    options = ["--embeddings", test, "--utt2spk", test / "utt2spk", "--out", tmp_path / "x"]
    other = write(tmp_path / "other", np.eye(5), np.arange(5))
    assert "dimension 5, but 12" in call_fails("evaluate", *options, "--cohort", other)


def test_rows_of_ivectors_are_treated(tiny_model, tiny_data, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model, ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))
    feats = ["--feats", tiny_data / "feats.scp", "--model", model]
    call("embed", "utterances", *feats, "--ark", tmp_path / "emb/embedding.ark")
    call("treatment", "make", "--embeddings", tmp_path / "emb", "--model", model)
    plain, treated, centred = (tmp_path / name for name in ("plain", "treated", "centred"))
    call("embed", "ivectors", *feats, "--ark", plain / "ivector_online.ark")
    options = ["--treatment", "center,pca:3,length"]
    done = run(STEPS / "extract.sh", *options, tiny_data, model, treated)
    assert done.returncode == 0, done.stderr
    options += ["--domain-embeddings", tmp_path / "emb/embedding.scp"]
    call("embed", "ivectors", *feats, *options, "--ark", centred / "ivector_online.ark")
    treatment = load_treatment("center,pca:3,length", model)
    rows = dict(iterate_arrays(plain / "ivector_online.scp"))
    for name, got in iterate_arrays(treated / "ivector_online.scp"):
        assert got == pytest.approx(treatment(rows[name]), abs=1e-4)
    ids = [(each / "final.ie.id").read_text() for each in (plain, treated, centred)]
    assert ids[0] != ids[1] == ids[2] == treatment.id + "\n"
    both = [*feats, "--treatment", "center", "--genfeat-combine-contexts"]
    message = call_fails("embed", "ivectors", *both, "--ark", tmp_path / "both.ark")
    assert "of the target head's embeddings" in message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--domain-embeddings", "x"], "go with treatment"),
        (["--treatment", "center"], "treatment.npz: no such file"),
    ],
)
def test_rows_that_cannot_be_treated(tiny_model, tiny_data, tmp_path, options, said):
    common = ["--feats", tiny_data / "feats.scp", "--model", tiny_model]
    assert said in call_fails("embed", "ivectors", *common, *options, "--ark", tmp_path / "iv.ark")
