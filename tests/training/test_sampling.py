"""Which windows a step sees."""

import numpy as np
import pytest
from helpers.corpora import counting_corpus
from helpers.models import tiny_options
from helpers.shell import STEPS, run

from unspeech.cli.errors import UnspeechError
from unspeech.evaluation.feature_plots import sampled_batch
from unspeech.kaldi.alignments import Unit
from unspeech.kaldi.copies import recordings_of
from unspeech.network.config_files import make_config
from unspeech.training.groupings import groups_of, split_heldout, usable_utterances
from unspeech.training.sampling import ContextSampler


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
    target_draw, context_draw = batch.negatives[:, 0] // 5, batch.negatives[:, 1] // 4
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


def test_split_keeps_recordings_apart_and_leaves_short_utterances_out():
    config = settings(window_length=4, window_neg_length=4, heldout_fraction=0.3)
    corpus = counting_corpus([30, 30, 30, 30, 19, 30, 30, 30, 30, 30])
    recordings = ["a", "a", "b", "b", "b", "c", "c", "d", "d", "e"]
    usable = usable_utterances(corpus, config)
    train, heldout = split_heldout(usable, recordings, config)
    assert sorted([*train, *heldout]) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert not {recordings[i] for i in train} & {recordings[i] for i in heldout}
    assert len({recordings[i] for i in heldout}) == 2


def test_too_short_utterances_say_how_long_and_what_to_do():
    config = settings(window_length=4, window_neg_length=4)
    corpus = counting_corpus([19] * 5)
    with pytest.raises(UnspeechError, match=r"none of 5 recordings .* 20 frames.*lower window"):
        split_heldout(usable_utterances(corpus, config), list("abcde"), config)


@pytest.mark.parametrize("recordings", ["a", "abc", "aabbbc"])
def test_few_recordings_are_all_trained_on(recordings):
    train, heldout = split_heldout(np.ones(len(recordings), bool), list(recordings), settings())
    np.testing.assert_array_equal(train, np.arange(len(recordings)))
    np.testing.assert_array_equal(heldout, train)


def test_recordings_come_from_segments_and_ignore_speed_perturbation(tmp_path):
    utterances = ["sp0.9-u1", "sp1.1-u2", "u1", "u2"]
    assert recordings_of(utterances, tmp_path) == ["u1", "u2", "u1", "u2"]
    (tmp_path / "segments").write_text(
        "sp0.9-u1 sp0.9-talk 0 1\nsp1.1-u2 sp1.1-talk 1 2\nu1 talk 0 1\nu2 talk 1 2\n"
    )
    assert recordings_of(utterances, tmp_path) == ["talk"] * 4


@pytest.mark.parametrize(("left_gap", "right_gap", "expected"), [(1, 1, [0, 16]), (0, 2, [0, 4])])
def test_gaps_leave_out_the_nearest_windows(left_gap, right_gap, expected):
    config = settings(window_length=4, window_neg_length=4, left_gap=left_gap, right_gap=right_gap)
    batch = sampler(counting_corpus([20] * 10), config).batch(1)  # 20 frames: one position
    assert (batch.targets[:, 0, 1] == 8).all()
    np.testing.assert_array_equal(batch.contexts[0, :, 0, 1], expected)


def test_draws_of_one_voice_are_no_negative_pair():
    corpus = counting_corpus([40] * 6)
    values = {"window_length": 5, "window_neg_length": 5, "batch_size": 24, "negative_samples": 8}
    for groups, other in (
        ([f"v{u // 3}" for u in range(6)], {"context_sampling": "recording"}),
        (None, {"left_contexts": 1, "right_contexts": 0}),
    ):
        config = settings(**values, **other)
        drawn = ContextSampler(corpus, np.arange(6), config, 0, groups=groups)
        assert drawn.group_count == (2 if groups else 6)
        batch = drawn.batch(1)
        utterances = batch.targets[:, 0, 0].astype(int)
        voice = utterances // 3 if groups else utterances
        same = voice[:, None] == voice
        np.testing.assert_array_equal(batch.groups[:, None] == batch.groups, same)
        targets = batch.negatives[:, 0] // (1 + config.contexts)
        contexts = batch.negatives[:, 1] // config.contexts
        assert not same[targets, contexts].any()
    # A lone utterance's windows are each other's negatives, as in the original.
    alone = ContextSampler(corpus, np.array([3]), config, 0).batch(1)
    assert (alone.negatives[:, 0] // 2 != alone.negatives[:, 1]).all()


def test_without_2x_neg_each_target_meets_other_contexts():
    config = settings(
        window_length=4, window_neg_length=4, sample_2x_neg="false", negative_samples=3
    )
    negatives = sampler(counting_corpus([40] * 20), config).batch(3).negatives
    np.testing.assert_array_equal(negatives[:, 0], 5 * np.repeat(np.arange(8), 3))
    assert (negatives[:, 0] // 5 != negatives[:, 1] // 4).all()


@pytest.mark.parametrize("tied", [True, False])
def test_targets_of_negative_pairs_begin_anywhere(tied):
    config = settings(window_length=4, window_neg_length=4, tied_embeddings_transforms=tied)
    drawn = sampler(counting_corpus([22] * 20), config)
    begins = set()
    for step in range(50):
        batch = drawn.batch(step)
        for i, (row, _) in enumerate(batch.negatives):
            window = batch.negative_target(i)
            assert window[0, 0] == batch.targets[row // 5, 0, 0], "of the same draw"
            begins.add(int(window[0, 1]))
    # Two contexts of 4 frames on either side leave three places for a target in 22 frames.
    places = {0, 4, 8, 12, 16} if tied else {8}
    assert begins == {place + begin for place in places for begin in (0, 1, 2)}


def test_within_speakers_both_windows_of_a_negative_pair_are_one_speakers():
    corpus = counting_corpus([40] * 23)
    speakers = [f"s{u // 5}" for u in range(23)]  # the fifth has three utterances
    config = settings(window_length=4, window_neg_length=4, spk2utt="given", batch_size=16)
    usable = usable_utterances(corpus, config, speakers)
    np.testing.assert_array_equal(np.flatnonzero(~usable), [20, 21, 22])
    own = ContextSampler(corpus, np.flatnonzero(usable), config, 0, speakers)
    batch = own.batch(1)
    of_target = batch.targets[:, 0, 0].astype(int)
    of_context = batch.contexts[:, :, 0, 0].astype(int).ravel()
    assert len(set(of_target)) == 16
    for target, context in batch.negatives:
        left, right = of_target[target // 5], of_context[context]
        assert left != right
        assert speakers[left] == speakers[right]


def test_aligned_units_are_the_windows():
    corpus = counting_corpus([50] * 6)
    ends = [7, 10, 21, 26, 28, 40, 50]
    starts = [0, *ends[:-1]]
    units = [[Unit(s, e, "a") for s, e in zip(starts, ends, strict=True)]] * 6
    config = settings(
        ali_ctm="given", embedding_transformation="Dynamic_LSTM", left_gap=1, right_gap=0
    )
    rows = ContextSampler(corpus, np.arange(6), config, 0, units=units)
    seen = set()
    for step in range(30):
        batch = rows.batch(step)
        assert batch.contexts.shape[1] == config.contexts == 3
        for i in range(8):
            target = int(batch.targets[i, 0, 1])
            at = starts.index(target)
            seen.add(at)
            assert batch.target_lengths[i] == ends[at] - target
            assert (batch.targets[i, batch.target_lengths[i] :] == 0).all()
            for context, length, position in zip(
                batch.contexts[i], batch.context_lengths[i], [at - 2, at + 1, at + 2], strict=True
            ):
                assert context[0, 1] == starts[position]
                assert length == ends[position] - starts[position]
                assert (context[length:] == 0).all()
    assert seen == {2, 3, 4}


def test_contexts_come_from_anywhere_in_the_recording():
    config = settings(
        context_sampling="recording", left_contexts=0, right_contexts=2, window_length=5,
        window_neg_length=5,
    )  # fmt: skip
    corpus = counting_corpus([40] * 20)
    groups = [f"r{u // 2}" for u in range(20)]
    usable = np.arange(20)
    batches = [
        ContextSampler(corpus, usable, config, 0, groups=groups).batch(step) for step in (1, 2, 1)
    ]
    np.testing.assert_array_equal(batches[0].contexts, batches[2].contexts)
    for batch in batches:
        targets, contexts = batch.targets[:, 0, 0], batch.contexts[:, :, 0, 0]
        assert len(set(targets // 2)) == len(targets), "a recording is drawn once a batch"
        assert (contexts // 2 == targets[:, None] // 2).all(), "pairs are of one recording"
        assert (contexts != targets[:, None]).all(), "of another of its utterances, if there are"
        steps = np.diff(batch.contexts[..., 1], axis=2)
        assert (steps == 1).all(), "windows are consecutive frames"


def test_voices_are_those_of_segments_or_of_a_clustering(tmp_path):
    (tmp_path / "segments").write_text("a-1 a 0 1\na-2 a 1 2\n")
    config = settings(context_sampling="recording", window_length=5, window_neg_length=5)
    assert groups_of(["a-1", "a-2", "b"], tmp_path, config) == ["a", "a", "b"]
    (tmp_path / "segments").write_text("a-1 a 0 1 0\na-2 a 0 1 1\na-3 a 1 2 0\n")
    assert groups_of(["a-1", "a-2", "a-3"], tmp_path, config) == ["a 0", "a 1", "a 0"], "two sides"
    clusters = tmp_path / "utt2spk"
    clusters.write_text("a-1 c7\nb c7\n")
    config = settings(
        context_sampling="speaker", pseudo_utt2spk=clusters, window_length=5, window_neg_length=5
    )
    groups = groups_of(["a-1", "a-2", "b"], tmp_path, config)
    assert groups == ["c7", "", "c7"]
    with pytest.raises(UnspeechError, match=f"{clusters}: names none of the utterances, such as"):
        groups_of(["x-1"], tmp_path, config)
    usable = usable_utterances(counting_corpus([30, 30, 30]), config, groups=groups)
    assert usable.tolist() == [True, False, True], "those of no cluster are not trained on"


def test_picture_of_a_batch_in_place_of_training(tiny_data, tmp_path):
    options = [str(tiny_data), str(tmp_path / "model")]
    settings = " ".join(tiny_options())
    step = run(STEPS / "train.sh", "--train-opts", f"{settings} --test_sampling", *options)
    assert step.returncode == 0, step.stderr
    picture = tmp_path / "model" / "sampling.png"
    assert step.stdout.splitlines()[-1] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in picture.parent.iterdir()} == {"log", "sampling.png"}
    log = (tmp_path / "model" / "log" / "test_sampling.log").read_text()
    assert "8 targets, 4 contexts of each, 32 negative pairs" in log


@pytest.mark.parametrize(
    "values",
    [
        {"left_contexts": 0, "right_contexts": 3, "negative_samples": 5},
        {"left_gap": 2, "right_gap": 1, "negative_samples": 0},
        {"ali_ctm": "given", "embedding_transformation": "Dynamic_LSTM"},
    ],
)
def test_any_batch_can_be_drawn(values):
    config = settings(window_length=6, window_neg_length=6, **values)
    units = [[Unit(s, s + 4 + s % 3, "a") for s in range(0, 42, 7)]] * 9
    drawn = ContextSampler(
        counting_corpus([60] * 9), np.arange(9), config, 0, units=units if config.ali_ctm else None
    )
    assert sampled_batch(drawn.batch(1), config, "title").startswith(b"\x89PNG")


@pytest.mark.parametrize("fraction", [0.05, 0.3])
def test_negative_pairs_within_speakers_join_two_utterances(fraction):
    corpus = counting_corpus([40] * 100)
    speakers = [f"s{i // 5}" for i in range(100)]
    config = settings(
        window_length=4, window_neg_length=4, spk2utt="given", heldout_fraction=fraction
    )
    recordings = corpus.utterances
    for indices in split_heldout(np.ones(100, bool), recordings, config, speakers):
        drawn = ContextSampler(corpus, indices, config, 0, speakers)
        for step in range(20):
            batch = drawn.batch(step)
            voices = batch.targets[:, 0, 0][batch.negatives // [5, 4]]
            assert (voices[:, 0] != voices[:, 1]).all()
            assert (voices[:, 0] // 5 == voices[:, 1] // 5).all()
    with pytest.raises(UnspeechError, match="no speaker has two usable utterances"):
        ContextSampler(corpus, np.arange(0, 100, 5), config, 0, speakers)


def test_recordings_of_two_utterances_are_held_out_together():
    speakers = [f"s{i // 5}" for i in range(100)]
    recordings = [f"r{i}" for i in range(100)]
    config = settings(heldout_fraction=0.1)
    train, heldout = split_heldout(np.ones(100, bool), recordings, config, speakers)
    assert sorted([*train, *heldout]) == list(range(100))
    assert sorted(np.unique(heldout // 5, return_counts=True)[1]) == [2] * 5
