"""Objectives: pair by pair, among the batch, without negatives; they learn."""

import json

import numpy as np
import pytest
import tensorflow as tf
from helpers.models import TINY, pooled_model, tiny_options
from helpers.programs import call

from unspeech.kaldi.features import load_corpus
from unspeech.network.config_files import make_config
from unspeech.network.model import UnspeechModel
from unspeech.training.objectives import OBJECTIVES, infonce, logistic
from unspeech.training.sampling import ContextSampler


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tied_embeddings_transforms": False, "unit_normalize": True},
        {"use_dot_combine": False, "tied_final_embeddings_transforms": True},
        {"negative_samples": 6, "use_weighted_loss_func": True, "unit_normalize_var": False},
    ],
)
def test_loss_equals_the_pair_by_pair_computation(tiny_data, settings):
    config = make_config(TINY | settings, "test")
    corpus = load_corpus(tiny_data, 40)
    batch = ContextSampler(corpus, np.arange(len(corpus.utterances)), config, 0).batch(1)
    model = UnspeechModel(config)
    contexts = batch.contexts.reshape(-1, *batch.contexts.shape[2:])
    count = batch.contexts.shape[1]
    pairs = [(batch.targets[row // count], row, 1.0) for row in range(len(contexts))]
    pairs += [(batch.negative_target(i), row, 0.0) for i, row in enumerate(batch.negatives[:, 1])]
    weight = 6 / 4 if settings.get("use_weighted_loss_func") else 1
    losses = []
    for target, row, label in pairs:
        left = model.embed_targets(target[None]).numpy()[0]
        right = model.embed_contexts(contexts[row : row + 1]).numpy()[0]
        if settings.get("unit_normalize"):
            assert np.linalg.norm(left) == pytest.approx(1, abs=1e-5)
        if settings.get("use_dot_combine", True):
            logit = left @ right
        else:
            kernel, bias = model.projection.get_weights()
            logit = ((left - right) @ kernel + bias).item()
        # Of weights that were drawn, logits may be so large that their exponential is not finite.
        losses.append((weight if label else 1) * np.logaddexp(0, -logit if label else logit))
    embeddings = model.embed_batch(batch.targets, batch.contexts)
    outcome = logistic(model, *embeddings, batch.negatives, batch.groups)
    assert float(outcome.loss) == pytest.approx(np.mean(losses), rel=1e-5)
    right = [(loss < np.log(2)) for loss in losses] if weight == 1 else None
    assert right is None or float(outcome.accuracy) == pytest.approx(np.mean(right))


def test_contrastive_loss_is_that_of_finding_the_partner_both_ways():
    model = pooled_model(objective="infonce", initial_scale=3.0, margin=0.2)
    rng = np.random.default_rng(0)
    targets, contexts = (
        3 * v / np.linalg.norm(v, axis=-1, keepdims=True)
        for v in rng.normal(size=(2, 6, 8)).astype(np.float32)
    )
    logits = targets @ contexts.T - 9 * 0.2 * np.eye(6)
    for groups in ([0, 1, 2, 3, 4, 5], [7, 1, 7, 3, 7, 1]):
        outcome = infonce(
            model,
            tf.constant(targets[:, None]),
            tf.constant(contexts[:, None]),
            None,
            tf.constant(groups),
        )
        losses, right = [], []
        for scores in (logits, logits.T):
            for i in range(6):
                # Other draws of the target's own voice are neither positive nor negative.
                others = [scores[i, j] for j in range(6) if groups[j] != groups[i]]
                losses.append(np.log(np.exp([scores[i, i], *others]).sum()) - scores[i, i])
                right.append(scores[i, i] > max(others))
        assert float(outcome.loss) == pytest.approx(np.mean(losses), rel=1e-5)
        assert float(outcome.accuracy) == pytest.approx(np.mean(right))


@pytest.mark.parametrize("objective", ["infonce", "dino"])
def test_other_objectives_learn_and_go_on_where_they_were(tiny_data, tmp_path, objective):
    options = tiny_options(
        objective=objective, embedding_transformation="TDNN", tdnn_channels=16, pooled_channels=16,
        context_sampling="recording", left_contexts=0, right_contexts=1, fc_size=0,
        unit_normalize=True, prototypes=16, augment_warp=0.1, augment_noise=0.5, batch_size=8,
        window_length=40, window_neg_length=40, normalize_input=True, learn_rate=0.003,
        weight_decay=0.01, steps_per_checkpoint=10,
    )  # fmt: skip
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    for directory, steps in ((whole, 20), (halves, 10), (halves, 20)):
        call("train", "--data", tiny_data, "--dir", directory, *options, "--num-steps", steps)
    assert (whole / "final.ie.id").read_text() == (halves / "final.ie.id").read_text()
    lines = [json.loads(line) for line in (whole / "train_log.jsonl").open()]
    assert lines[1]["loss"] < lines[0]["loss"]
    assert lines[1]["accuracy"] > lines[0]["majority_accuracy"]


def test_chance_of_the_logistic_loss():
    config = make_config(TINY | {"use_weighted_loss_func": True, "negative_samples": 8}, "test")
    accuracy, loss = OBJECTIVES["logistic"].chance(config, 8)
    positive, negative = 4, 8
    weight = negative / positive
    answers = np.linspace(0.001, 0.999, 999)
    losses = -(weight * positive * np.log(answers) + negative * np.log(1 - answers)) / 12
    assert loss == pytest.approx(losses.min(), abs=1e-4)
    assert accuracy == pytest.approx(8 / 12)
