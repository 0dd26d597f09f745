"""The solved head: what it makes of known covariances, sums over jobs, adaptation, its file."""

from dataclasses import fields, replace

import numpy as np
import pytest
from helpers.data import voices, write_features
from helpers.models import same_heads, train_statistics
from helpers.programs import call

from unspeech.cli.errors import UnspeechError
from unspeech.embedding.solving import (
    ContextSums,
    adapt_head,
    covariance_within,
    solve_head,
    tell_apart,
)
from unspeech.kaldi.tables import read_table, write_table
from unspeech.network.solved_head import SolvedHead, unit_length

WIDTH = 6
CHANNEL, VOICE = 1, 4  # value that varies within recordings, value that says whose voice it is


def corpus(seed: int = 0, recordings: int = 400, loud: int = CHANNEL) -> ContextSums:
    """Recordings of eight windows. The values are in units that differ by far, as real ones do.

    Args:
        loud: the value that varies within recordings ten times as much as the others.
    """
    rng = np.random.default_rng(seed)
    sums = ContextSums.zeros(WIDTH, 0)
    between, within = np.full(WIDTH, 0.3), np.full(WIDTH, 0.3)
    between[VOICE], within[loud] = 3, 3
    units = 10.0 ** np.arange(-3, WIDTH - 3)
    for centre in 5 + between * rng.normal(size=(recordings, WIDTH)):
        windows = (centre + within * rng.normal(size=(8, WIDTH))) * units
        sums.add_recording(windows)
        sums.add_utterance(windows.mean(axis=0))
    return sums


def strength(head: SolvedHead) -> np.ndarray:
    """How far a step of one standard deviation of each value moves the embedding."""
    steps = head.scale[:, None] * np.eye(WIDTH)
    return np.linalg.norm(head(head.mean + steps) - head(head.mean), axis=1)


def test_what_differs_within_recordings_counts_little():
    moved = strength(solve_head(corpus(), 0.25, 0, 0))
    assert moved[CHANNEL] < 0.5 * np.median(moved)
    assert moved[VOICE] > 1.3 * np.median(np.delete(moved, VOICE))
    # Under the total covariance alone both would count alike, seen in their own units.
    moved = strength(solve_head(corpus(), 1e6, 0, 0))
    assert moved[CHANNEL] > 0.5 * moved[VOICE]


def test_the_matrix_whitens_the_sum_of_both_covariances():
    head = solve_head(corpus(), 0.25, 0, 0)
    matrix = head.scale[:, None] * head.matrix.astype(np.float64)
    np.testing.assert_allclose(matrix.T @ head.covariance @ matrix, np.eye(WIDTH), atol=1e-4)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-5)  # it turns nothing


def test_fewer_dimensions_are_those_that_say_most_of_the_voice():
    sums = corpus()
    for dim in (1, 3, WIDTH - 1):
        head = solve_head(sums, 0.25, 0, dim)
        assert head.dim == dim
        assert head(np.zeros((4, 2, WIDTH))).shape == (4, 2, dim)
    assert strength(solve_head(sums, 0.25, 0, 1)).argmax() == VOICE
    for dim in (0, WIDTH):
        assert solve_head(sums, 0.25, 0, dim).dim == WIDTH
    with pytest.raises(UnspeechError, match="embedding_size is 7, but the head has 6 values"):
        solve_head(sums, 0.25, 0, WIDTH + 1)


def test_a_limit_ends_smoothly():
    sums = corpus()
    free, limited = (solve_head(sums, 0.25, limit, 0) for limit in (0, 4))
    near = free.mean * (1 + 1e-4)
    np.testing.assert_allclose(limited(near), free(near), atol=1e-3)
    assert np.abs(free(free.mean * 1e3)).max() > 100
    assert np.abs(limited(free.mean * 1e3)).max() <= 4


def test_solving_again_gives_the_same():
    same_heads(solve_head(corpus(), 0.25, 4, 2), solve_head(corpus(), 0.25, 4, 2))


def test_values_that_never_vary_are_no_trouble():
    rng = np.random.default_rng(0)
    sums = ContextSums.zeros(3, 0)
    for _ in range(20):
        windows = np.pad(rng.normal(size=(4, 2)), ((0, 0), (0, 1)), constant_values=7)
        sums.add_recording(windows)
        sums.add_utterance(windows.mean(axis=0))
    head = solve_head(sums, 0.25, 4, 0)
    assert np.isfinite(head(rng.normal(size=(5, 3)))).all()


def test_too_little_speech_is_refused():
    one = ContextSums.zeros(WIDTH, 0)
    one.add_utterance(np.ones(WIDTH))
    one.add_recording(np.ones((5, WIDTH)))
    with pytest.raises(UnspeechError, match="at least two utterances and one recording of two"):
        solve_head(one, 0.25, 4, 0)
    alike = one + one
    with pytest.raises(UnspeechError, match="all 2 utterances are alike"):
        solve_head(alike, 0.25, 4, 0)
    with pytest.raises(UnspeechError, match="not 2 and 0: use more speech"):
        solve_head(replace(alike, freedom=0), 0.25, 4, 0)


# Adaptation


def test_weight_0_changes_the_mean_alone():
    head = solve_head(corpus(), 0.25, 4, 0)
    other = corpus(seed=1, loud=2)
    adapted = adapt_head(head, other, 0)
    same_heads(adapted, head, besides=("mean",))
    np.testing.assert_array_equal(adapted.mean, other.mean())


def test_adapting_turns_down_what_differs_within_recordings_there():
    head, other = solve_head(corpus(), 0.25, 4, 0), corpus(seed=1, loud=2)
    before, after = (strength(h) for h in (head, adapt_head(head, other, 1.5)))
    assert after[2] < 0.5 * before[2]
    assert after[CHANNEL] < 0.5 * np.median(after), "what was learnt before is kept"


def test_adapting_twice_is_adapting_once():
    head, other = solve_head(corpus(), 0.25, 4, 3), corpus(seed=1, loud=2)
    once = adapt_head(head, other, 1.5)
    same_heads(adapt_head(once, other, 1.5), once)
    elsewhere = adapt_head(head, corpus(seed=2, loud=3), 10)
    same_heads(adapt_head(elsewhere, other, 1.5), once)


@pytest.mark.parametrize("dim", [None, 2])
def test_adapting_to_copies_of_one_utterance_is_refused(dim):
    copies = ContextSums.zeros(WIDTH, 0)
    for _ in range(1000):
        windows = np.random.default_rng(0).normal(12, 2, size=(4, WIDTH))
        copies.add_recording(windows)
        copies.add_utterance(windows.mean(axis=0))
    with pytest.raises(UnspeechError, match="all 1000 utterances are alike"):
        adapt_head(solve_head(corpus(), 0.25, 4, 0), copies, 1.5, dim=dim)


def test_dimension_of_an_adapted_head():
    head, other = solve_head(corpus(), 0.25, 4, 3), corpus(seed=1)
    dims = [adapt_head(head, other, 1, dim=dim).dim for dim in (None, 0, 2, WIDTH + 1)]
    assert dims == [3, WIDTH, 2, WIDTH]


def test_clusters_are_contexts_as_well():
    head, other = solve_head(corpus(), 0.25, 4, 0), corpus(seed=1)
    clusters = np.diag(head.scale**2) * 1e-3
    clusters[3, 3] *= 1e3
    moved = strength(adapt_head(head, other, 1.5, clusters, 3))
    assert moved[3] < 0.5 * strength(adapt_head(head, other, 1.5))[3]


def test_covariance_within_clusters():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(14, 3))
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 0, 2, 2, 2, -1, -1, -1])
    labels[8:11] = 2  # three are too few
    weights = rng.uniform(0.5, 1, size=14)
    found = covariance_within(values, labels, weights)
    only = labels == 0
    np.testing.assert_allclose(
        found, _weighted(values[only], weights[only]) / (weights[only].sum() - 1)
    )
    labels[labels == 2] = 1
    both = [labels == 0, labels == 1]
    expected = sum(_weighted(values[m], weights[m]) for m in both)
    expected = expected / sum(weights[m].sum() - 1 for m in both)
    np.testing.assert_allclose(covariance_within(values, labels, weights), expected)
    ones = covariance_within(values[both[1]], np.zeros(6, int), np.ones(6))
    np.testing.assert_allclose(ones, np.cov(values[both[1]].T))
    nobody = covariance_within(values, np.full(14, -1), weights)
    np.testing.assert_array_equal(nobody, np.zeros((3, 3)))


def _weighted(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    mean = np.average(values, axis=0, weights=weights)
    return sum(w * np.outer(v - mean, v - mean) for w, v in zip(weights, values, strict=True))


def test_tell_apart_knows_its_own():
    head = solve_head(corpus(), 0.25, 0, 0)
    directions = np.random.default_rng(0).normal(size=(30, 1, WIDTH)) * head.scale
    loss, found = tell_apart(head, head.mean + np.repeat(directions, 2, axis=1))
    assert found == 1
    # The other's window of each is that of the next one.
    directions = np.concatenate([directions, np.roll(directions, 1, axis=0)], axis=1)
    worse, missed = tell_apart(head, head.mean + directions)
    assert worse > loss
    assert missed == 0


def test_unit_length():
    vectors = np.random.default_rng(0).normal(size=(3, 4, 5)) * 1e-3
    np.testing.assert_allclose(np.linalg.norm(unit_length(vectors), axis=-1), 1, rtol=1e-6)
    assert not unit_length(np.zeros(3)).any()


# Sums


def test_sums_of_parts_are_those_of_all(tmp_path):
    rng = np.random.default_rng(0)
    recordings = [rng.normal(size=(n, WIDTH)) for n in (1, 2, 5, 9, 3, 4)]
    parts = [ContextSums.zeros(WIDTH, 4) for _ in range(4)]
    for number, windows in enumerate(recordings):
        for sums in (parts[0], parts[1 + number % 3]):
            sums.add_recording(windows)
            sums.add_utterance(windows.mean(axis=0))
            sums.frames += np.arange(4)
    for number, sums in enumerate(parts):
        sums.save(tmp_path / f"{number}.npz")
    whole, *others = (ContextSums.load(tmp_path / f"{number}.npz") for number in range(4))
    added = others[0] + others[1] + others[2]
    for field in fields(ContextSums):
        if field.name != "pairs":  # some of them, for the log
            found, expected = getattr(added, field.name), getattr(whole, field.name)
            np.testing.assert_allclose(found, expected, rtol=1e-9, err_msg=field.name)
    assert added.freedom == sum(len(windows) - 1 for windows in recordings)
    assert added.pairs.shape == whole.pairs.shape == (5, 2, WIDTH)


def test_damaged_sums(tmp_path):
    np.savez(tmp_path / "sums.npz", utterances=3)
    with pytest.raises(UnspeechError, match=r"sums\.npz: damaged"):
        ContextSums.load(tmp_path / "sums.npz")
    (tmp_path / "sums.npz").write_bytes(b"no archive")
    with pytest.raises(UnspeechError, match=r"sums\.npz"):
        ContextSums.load(tmp_path / "sums.npz")


@pytest.fixture
def segmented(tmp_path):
    """Six recordings of four utterances, which do not stand together in the table."""
    features = {n.replace("s", "u", 1): f for n, f in voices(6, 4).items()}
    data = write_features(tmp_path / "data", dict(sorted(features.items())))
    table = read_table(data / "feats.scp")
    order = sorted(table, key=lambda u: (u[-1], u))
    write_table(data / "segments", {u: f"rec{u[1]} {u[-1]} {int(u[-1]) + 0.9}" for u in order})
    return data


def test_three_jobs_sum_up_what_one_does(segmented, tmp_path):
    model = train_statistics(segmented, tmp_path / "model")
    work = tmp_path / "jobs"
    feats = segmented / "feats.scp"
    work.mkdir()
    contexts = work / "contexts"
    call("solve", "contexts", "--feats", feats, "--data", segmented, "--out", contexts)
    assert set(read_table(contexts).values()) == {f"rec{n}" for n in range(6)}
    call("speakers", "--feats", feats, "--utt2spk", contexts, "--nj", 3, "--out", work)
    added = []
    for job in (1, 2, 3):
        outputs = ["--values", work / f"values.{job}.ark", "--sums", work / f"sums.{job}.npz"]
        call("solve", "sums", "--model", model, "--feats", work / f"feats.{job}.scp",
             "--data", segmented, "--contexts", contexts, *outputs)  # fmt: skip
        added.append(ContextSums.load(work / f"sums.{job}.npz"))
    assert len({tuple(read_table(work / f"feats.{job}.scp")) for job in (1, 2, 3)}) == 3
    added = added[0] + added[1] + added[2]
    call("speakers", "--feats", feats, "--utt2spk", contexts, "--nj", 1, "--out", work)
    outputs = ["--values", work / "values.ark", "--sums", work / "all.npz"]
    call("solve", "sums", "--model", model, "--feats", work / "feats.1.scp",
         "--data", segmented, "--contexts", contexts, *outputs)  # fmt: skip
    whole = ContextSums.load(work / "all.npz")
    assert whole.utterances == 24
    for field in fields(ContextSums):
        if field.name != "pairs":
            found, expected = getattr(added, field.name), getattr(whole, field.name)
            scale = np.abs(expected).max()
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * scale)
    heads = [solve_head(sums, 0.25, 4, 0) for sums in (whole, added)]
    np.testing.assert_allclose(heads[0].mean, heads[1].mean, rtol=1e-9)
