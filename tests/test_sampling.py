"""Which windows a step sees."""

import numpy as np
import pytest

from unspeech.config import make_config
from unspeech.errors import UnspeechError
from unspeech.features import Corpus
from unspeech.sampling import ContextSampler, recordings_of, split_heldout


def counting_corpus(lengths: list[int]) -> Corpus:
    """Every frame holds (utterance, position), so that a window says where it comes from."""
    frames = [np.stack([np.full(n, u), np.arange(n)], axis=1) for u, n in enumerate(lengths)]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    names = [f"u{u}" for u in range(len(lengths))]
    return Corpus(names, np.concatenate(frames).astype(np.float32), starts)


def settings(**values):
    return make_config({"feat_size": 2, "batch_size": 8} | values, "test")


def sampler(corpus, config, stream=0):
    return ContextSampler(corpus, np.arange(len(corpus.utterances)), config, stream)


@pytest.mark.parametrize(
    ("window", "context", "left", "right"), [(5, 5, 2, 2), (5, 3, 2, 1), (4, 6, 0, 3), (4, 6, 1, 0)]
)
def test_contexts_lie_beside_their_target(window, context, left, right):
    config = settings(
        window_length=window,
        window_neg_length=context,
        left_contexts=left,
        right_contexts=right,
        tied_embeddings_transforms=False,
    )
    batch = sampler(counting_corpus([60] * 10), config).batch(1)
    assert batch.targets.shape == (8, window, 2)
    assert batch.contexts.shape == (8, left + right, context, 2)
    for target, contexts in zip(batch.targets, batch.contexts, strict=True):
        pieces = [*contexts[:left], target, *contexts[left:]]
        joined = np.concatenate(pieces)
        assert len(set(joined[:, 0])) == 1, "windows of one draw are from one utterance"
        assert (np.diff(joined[:, 1]) == 1).all(), "windows are adjacent, in order"


def test_negative_pairs_join_two_draws():
    config = settings(window_length=4, window_neg_length=4, negative_samples=7)
    batch = sampler(counting_corpus([40] * 20), config).batch(3)
    assert batch.negatives.shape == (8 * 7, 2)
    target_draw, context_draw = batch.negatives[:, 0], batch.negatives[:, 1] // 4
    assert (target_draw != context_draw).all()
    assert batch.negatives[:, 1].max() < 8 * 4
    assert batch.negatives.min() >= 0


def test_each_utterance_at_most_once_a_batch_and_all_positions_reached():
    config = settings(window_length=4, window_neg_length=4, batch_size=4)
    corpus = counting_corpus([22, 22, 22, 22])
    begins = set()
    for step in range(200):
        batch = sampler(corpus, config).batch(step)
        assert len(set(batch.targets[:, 0, 0])) == 4
        begins |= set(batch.targets[:, 0, 1].astype(int))
    assert begins == {8, 9, 10}  # two contexts of 4 on either side of a target in 22 frames


def test_batch_depends_on_seed_stream_and_step_alone():
    corpus = counting_corpus([80] * 9)
    config = settings(window_length=4, window_neg_length=4)
    again = sampler(corpus, config)
    again.batch(5)
    first = sampler(corpus, config).batch(7)
    assert np.array_equal(first.targets, again.batch(7).targets)
    assert np.array_equal(first.negatives, again.batch(7).negatives)
    for other in (
        sampler(corpus, config).batch(8),
        sampler(corpus, config, stream=1).batch(7),
        sampler(corpus, settings(window_length=4, window_neg_length=4, seed=2)).batch(7),
    ):
        assert not np.array_equal(first.targets, other.targets)


def test_split_keeps_recordings_apart_and_lists_short_utterances():
    config = settings(window_length=4, window_neg_length=4, heldout_fraction=0.3)
    corpus = counting_corpus([30, 30, 30, 30, 19, 30, 30, 30, 30, 30])
    recordings = ["a", "a", "b", "b", "b", "c", "c", "d", "d", "e"]
    train, heldout, short = split_heldout(corpus, recordings, config)
    assert sorted([*train, *heldout, *short]) == list(range(10))
    assert list(short) == [4]
    assert not {recordings[i] for i in train} & {recordings[i] for i in heldout}
    assert len({recordings[i] for i in heldout}) == 2


def test_too_few_long_utterances_says_how_many_and_what_to_do():
    config = settings(window_length=4, window_neg_length=4)
    corpus = counting_corpus([30, 19, 19, 30, 30])
    with pytest.raises(UnspeechError, match=r"only 3 of 5 recordings .* 20 frames.*lower window"):
        split_heldout(corpus, list("abcde"), config)


def test_recordings_come_from_segments_and_ignore_speed_perturbation(tmp_path):
    utterances = ["sp0.9-u1", "sp1.1-u2", "u1", "u2"]
    assert recordings_of(utterances, tmp_path) == ["u1", "u2", "u1", "u2"]
    (tmp_path / "segments").write_text(
        "sp0.9-u1 sp0.9-talk 0 1\nsp1.1-u2 sp1.1-talk 1 2\nu1 talk 0 1\nu2 talk 1 2\n"
    )
    assert recordings_of(utterances, tmp_path) == ["talk"] * 4
