"""How often a trained model tells positive pairs from negative ones, on pairs of any corpus."""

import dataclasses

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.kaldi.corpus import Corpus
from unspeech.network.backend import tf
from unspeech.network.config import Config
from unspeech.network.config_files import make_config
from unspeech.network.model import UnspeechModel
from unspeech.training.groupings import groupings_of, usable_utterances
from unspeech.training.objectives import OBJECTIVES
from unspeech.training.sampling import ContextSampler

TEST_STREAM = 2  # of random numbers; training has others


def sampled_accuracy(
    model: UnspeechModel, corpus: Corpus, batches: int, seed: int, spk2utt: str, ali_ctm: str
) -> tuple[np.ndarray, float]:
    """Accuracy on batches of pairs as training draws them, contexts beside their targets.

    Args:
        model: a trained model.
        corpus: what to draw from.
        batches: how many.
        seed: of the draws.
        spk2utt: draw negative pairs within the speakers of this file, or "".
        ali_ctm: CTM file whose units are the windows, or "".
    Returns:
        (batches,) float32, fraction of right answers in each; and that of the best answer that does
        not look at the windows.
    Raises:
        UnspeechError: when there are too few utterances, or the model does not score pairs.
    """
    objective = OBJECTIVES[model.config.objective]
    if objective.has_teacher:
        raise UnspeechError(
            f"test_perf: a model trained with the objective {model.config.objective} does not tell "
            "pairs apart; evaluate its embeddings instead"
        )
    config = _drawn_as(model.config, seed, spk2utt, ali_ctm)
    groupings = groupings_of(corpus, "", config)
    indices = np.flatnonzero(usable_utterances(corpus, config, *groupings))
    if len(indices) < 2:
        raise UnspeechError(
            f"test_perf: {len(indices)} of {len(corpus.utterances)} utterances hold a target with "
            "its contexts; pairs need two: give more or longer ones"
        )
    sampler = ContextSampler(corpus, indices, config, TEST_STREAM, *groupings)
    # No utterance twice in a batch, so that all negative pairs join two.
    size = config.batch_size if config.spk2utt else min(config.batch_size, len(indices))

    @tf.function(reduce_retracing=True)
    def accuracy(windows, *pairs):
        return objective.outcome(model, *model.embed_batch(*windows), *pairs).accuracy

    drawn = (sampler.batch(step, size) for step in range(batches))
    accuracies = np.array([accuracy(b.windows, b.negatives, b.groups) for b in drawn])
    return accuracies, objective.chance(config, size)[0]


def _drawn_as(config: Config, seed: int, spk2utt: str, ali_ctm: str) -> Config:
    """The settings of a model's training, for drawing from another corpus."""
    own = {"context_sampling": "adjacent", "pseudo_utt2spk": "", "initial_model": ""}
    own |= {"seed": seed, "spk2utt": spk2utt, "ali_ctm": ali_ctm}
    return make_config(dataclasses.asdict(config) | own, "test_perf")
