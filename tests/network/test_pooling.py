"""Statistics pooling: values are those of the frames themselves, sums add up."""

import numpy as np
import pytest
from helpers.data import write_features
from helpers.programs import call_fails

from unspeech.cli.errors import UnspeechError
from unspeech.network.pooling import (
    STATISTICS,
    StatisticsPooling,
    cosine_transform,
    statistics_named,
)

DIM, CHANNELS = 7, 4


def pooling(*names: str) -> StatisticsPooling:
    return StatisticsPooling(DIM, names or STATISTICS, cosine_transform(CHANNELS, DIM))


def frames(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (12 + np.cumsum(rng.normal(size=(count, DIM)), axis=0)).astype(np.float32)


def directly(whole: np.ndarray, begin: int, end: int) -> dict[str, np.ndarray]:
    """What is known of whole[begin:end], from the frames themselves."""
    whole = whole.astype(np.float64)
    cut = whole[begin:end]
    changes = np.diff(whole[max(begin - 1, 0) : end], axis=0)
    cepstra = cut @ cosine_transform(CHANNELS, DIM)
    return {
        "mean": cut.mean(axis=0),
        "deviation": cut.std(axis=0),
        "difference": changes.std(axis=0),
        "correlation": np.corrcoef(cepstra.T)[np.triu_indices(CHANNELS, k=1)],
    }


@pytest.mark.parametrize("names", [STATISTICS, *((name,) for name in STATISTICS)])
@pytest.mark.parametrize("edges", [[0, 80], [0, 1, 30, 80], [11, 40, 77]])
def test_values_are_those_of_the_frames(names, edges):
    pool, whole = pooling(*names), frames(80)
    sums = pool.sums(whole, np.array(edges))
    values = pool.values(sums)
    assert sums.shape == (len(edges) - 1, pool.sums_width)
    assert values.shape == (len(edges) - 1, pool.width)
    for row, begin, end in zip(values, edges[:-1], edges[1:], strict=True):
        if end - begin > 1:  # one frame has no correlations
            expected = directly(whole, begin, end)
            expected = np.concatenate([expected[name] for name in STATISTICS if name in names])
            # What keeps silence finite changes variances of about one by some 1e-5.
            np.testing.assert_allclose(row, expected, rtol=0, atol=1e-3)


def test_cepstra_are_those_of_a_cosine_transform():
    """Orthonormal, and the first is the mean but for its scale."""
    transform = cosine_transform(DIM, DIM)
    np.testing.assert_allclose(transform.T @ transform, np.eye(DIM), atol=1e-12)
    np.testing.assert_allclose(transform[:, 0], 1 / np.sqrt(DIM))


def test_sums_of_stretches_are_those_of_all():
    pool, whole = pooling(), frames(200)
    (expected,) = pool.sums(whole, np.array([0, 200]))
    for edges in ([0, 100, 200], [0, 1, 2, 3, 200], range(201), range(0, 201, 8)):
        parts = pool.sums(whole, np.array(edges))
        np.testing.assert_allclose(parts.sum(axis=0), expected, rtol=1e-12)
        np.testing.assert_allclose(pool.values(parts.sum(axis=0)), pool.values(expected), 1e-9)
    running = np.cumsum(pool.sums(whole, np.arange(201)), axis=0)
    window = running[149] - running[49]
    np.testing.assert_allclose(window, pool.sums(whole, np.array([50, 150]))[0], rtol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 50])
@pytest.mark.parametrize("level", [0.0, -15.942385, 3e4])
def test_what_never_changes_is_finite_and_correlates_with_nothing(count, level):
    pool = pooling()
    silence = np.full((count, DIM), level, np.float32)
    values = pool.values(pool.sums(silence, np.array([0, count])))[0]
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values[:DIM], np.float32(level), rtol=1e-6)
    assert np.abs(values[3 * DIM :]).max() < 0.1


def test_one_frame_in_each_stretch():
    pool, whole = pooling(), frames(5)
    values = pool.values(pool.sums(whole, np.arange(6)))
    np.testing.assert_allclose(values[:, :DIM], whole, rtol=1e-6)
    assert np.isfinite(values).all()


@pytest.mark.parametrize("text", ["mean,median", "mean,mean", "", "mean,", "mean deviation"])
def test_names_that_are_refused(text):
    with pytest.raises(UnspeechError, match=r"here: pooling is '.*'; it can be some of mean,dev"):
        statistics_named(text, "here")


def test_names_may_stand_in_any_order():
    assert statistics_named("correlation, mean", "here") == ("correlation", "mean")
    one, other = pooling("correlation", "mean"), pooling("mean", "correlation")
    sums = one.sums(frames(30), np.array([0, 30]))
    np.testing.assert_array_equal(one.values(sums), other.values(sums))


def test_training_refuses_a_name_before_it_begins(tmp_path):
    data = write_features(tmp_path / "data", {"a-1": np.zeros((50, 40))})
    options = ["--embedding-transformation", "Statistics", "--solve-head", "true"]
    command = ["--data", data, "--dir", tmp_path / "model", *options, "--pooling", "mean,median"]
    assert "pooling is 'mean,median'" in call_fails("train", *command)
    assert not (tmp_path / "model").exists()
