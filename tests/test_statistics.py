"""Mean and deviation of features, beside embeddings of the same utterances."""

import numpy as np
import pytest
from conftest import call_fails, write_features
from shell import STEPS, run
from test_evaluate import write_embeddings

from unspeech.archives import iterate_arrays
from unspeech.scores import score_trials, verification_scores
from unspeech.vectors import load_embeddings

DIM = 6


def voices(count: int, seed: int, level: float = 0.0) -> dict[str, np.ndarray]:
    """Features of speakers who differ a little in each band, at levels that differ much."""
    rng = np.random.default_rng(seed)
    features = {}
    for speaker in range(count):
        voice, spread = rng.normal(0, 0.5, DIM), rng.uniform(0.8, 1.2, DIM)
        for take in range(8):
            frames = voice + rng.normal(level, 5) + spread * rng.normal(size=(300, DIM))
            features[f"s{speaker:02}-{take}"] = frames.astype(np.float32)
    return features


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Statistics of a training corpus and of other, louder speech, and embeddings of the latter."""
    place = tmp_path_factory.mktemp("exp")
    for name, features in {"train": voices(40, 1), "dev": voices(12, 2, level=3.0)}.items():
        data = write_features(place / "data" / name, features)
        done = run(STEPS / "describe_utterances.sh", "--nj", 3, data, place / name)
        assert done.returncode == 0, done.stderr
    rng = np.random.default_rng(3)
    random = {utterance: rng.normal(size=4) for utterance in sorted(voices(12, 2))}
    write_embeddings(place / "embeddings", random)
    return place


def join(place, out, *options):
    """Returns the joined vectors and what the step printed."""
    inputs = place / "embeddings", place / "dev", place / "train"
    done = run(STEPS / "join_statistics.sh", *options, *inputs, out)
    assert done.returncode == 0, done.stderr
    return load_embeddings(out)[1], done.stdout


def eer(vectors):
    gold = np.repeat(np.arange(len(vectors) // 8), 8)
    return verification_scores(score_trials(vectors.astype(np.float32), gold))["eer"]


def test_utterances_are_described_by_mean_and_deviation(made):
    described = dict(iterate_arrays(made / "train/embedding.scp"))
    for utterance, features in voices(40, 1).items():
        expected = np.concatenate([features.mean(axis=0), features.std(axis=0)])
        np.testing.assert_allclose(described[utterance], expected, rtol=1e-4)


def test_embeddings_stay_beside_their_statistics(tmp_path, made):
    own = load_embeddings(made / "embeddings")[1]
    joined, _ = join(made, tmp_path / "joined", "--weight", 2)
    assert joined.shape == (len(own), 4 + 2 * DIM)
    np.testing.assert_allclose(joined[:, :4] * np.sqrt(1 + 2**2), own, atol=1e-5)
    alone, _ = join(made, tmp_path / "alone", "--weight", 0)
    np.testing.assert_allclose(alone[:, :4], own, atol=1e-6)
    assert not alone[:, 4:].any()


def test_what_varies_in_training_counts_less(tmp_path, made):
    described = load_embeddings(made / "dev")[1]
    joined, _ = join(made, tmp_path / "joined", "--weight", 4)
    assert eer(load_embeddings(made / "embeddings")[1]) > 40
    assert eer(described) > 30
    assert eer(joined) < 10


def test_a_second_call_has_nothing_to_do(tmp_path, made):
    join(made, tmp_path / "joined")
    assert "nothing to do" in join(made, tmp_path / "joined")[1]


def test_wrong_input_is_refused(tmp_path, made):
    options = {
        "--embeddings": made / "embeddings",
        "--statistics": made / "dev",
        "--background": made / "train",
        "--ark": tmp_path / "out.ark",
    }

    def said(**changed):
        given = options | {f"--{name}": value for name, value in changed.items()}
        return call_fails("statistics", "join", *(word for pair in given.items() for word in pair))

    assert "utterance 's00-0' of" in said(statistics=write_embeddings(tmp_path / "a", {"b": [1]}))
    narrow = write_embeddings(tmp_path / "b", {"b": np.ones(4), "c": np.ones(4)})
    assert f"has 4 numbers an utterance, {made / 'dev'} {2 * DIM}" in said(background=narrow)
    one = write_embeddings(tmp_path / "c", {"b": np.ones(2 * DIM)})
    assert "holds one utterance" in said(background=one)
    bad = write_features(tmp_path / "bad", {"u-1": np.full((5, DIM), np.nan, np.float32)})
    feats = ["--feats", bad / "feats.scp", "--ark", tmp_path / "out.ark"]
    assert "utterance 'u-1': NaN" in call_fails("statistics", "describe", *feats)
    assert not (tmp_path / "out.ark").exists()
