"""Objectives: pair by pair, among the batch, without negatives; they learn."""

import numpy as np
import pytest
from helpers.models import TINY

from unspeech.kaldi.features import load_corpus
from unspeech.network.config_files import make_config
from unspeech.network.model import UnspeechModel
from unspeech.training.objectives import logistic
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
        losses.append((weight if label else 1) * np.log1p(np.exp(-logit if label else logit)))
    embeddings = model.embed_batch(batch.targets, batch.contexts)
    outcome = logistic(model, *embeddings, batch.negatives, batch.groups)
    assert float(outcome.loss) == pytest.approx(np.mean(losses), rel=1e-5)
    right = [(loss < np.log(2)) for loss in losses] if weight == 1 else None
    assert right is None or float(outcome.accuracy) == pytest.approx(np.mean(right))
