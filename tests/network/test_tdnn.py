import numpy as np
import pytest
from helpers.data import assert_close

from unspeech.embedding.embedder import Embedder
from unspeech.embedding.rows import RowOptions
from unspeech.embedding.windows import WindowEmbedder, window_embedder
from unspeech.network.config_files import make_config
from unspeech.network.model import UnspeechModel
from unspeech.training.augmentation import PARTS, augment, warp_table

SMALL = {
    "window_length": 80, "window_neg_length": 80, "fc_size": 0, "embedding_size": 8,
    "tdnn_channels": 16, "pooled_channels": 24, "context_sampling": "recording",
    "left_contexts": 0, "right_contexts": 1,
}  # fmt: skip


@pytest.fixture(scope="module", params=["TDNN", "ECAPA"])
def model(request):
    return UnspeechModel(make_config(SMALL | {"embedding_transformation": request.param}, "test"))


@pytest.fixture
def frames():
    return np.random.default_rng(0).normal(10, 3, (407, 40)).astype(np.float32)


def test_one_pass_gives_what_window_by_window_gives(model, frames, monkeypatch):
    monkeypatch.setattr(
        "unspeech.embedding.windows.PIECE_FRAMES", 64
    )  # several pieces an utterance
    starts = np.array([0, 1, 2, 10, 57, 200, 321, 327])
    each = WindowEmbedder(model, both_heads=True).embed(frames, starts)
    once = window_embedder(model, both_heads=True).embed(frames, starts)
    assert_close(once, each)


def test_rows_of_an_utterance_do_not_depend_on_the_others(model, frames):
    embedder = Embedder(model, RowOptions(genfeat_stride=7))
    alone = next(embedder.rows([("b", frames[101:256])]))[1]
    together = dict(embedder.rows([("a", frames[:101]), ("b", frames[101:256])]))
    assert_close(together["b"], alone)
    assert len(together["a"]) == 15


def test_a_pair_gets_one_voice_and_each_window_its_own_channel():
    windows = np.random.default_rng(0).normal(10, 3, (4, 1, 20, 40)).astype(np.float32)
    pairs = np.concatenate([windows, windows], axis=1)
    for part in PARTS:
        config = make_config({f"augment_{part}": 0.5, "window_length": 20,
                              "window_neg_length": 20}, "test")  # fmt: skip
        some, same, other = (
            np.asarray(augment(pairs, config, np.array(seed, np.int32)))
            for seed in ([1, 1], [1, 1], [1, 2])
        )
        assert np.isfinite(some).all()
        assert (some == same).all()
        assert (some != other).any(), part
        assert (some != pairs).any(), part
        alike = np.allclose(some[:, 0], some[:, 1], atol=1e-4)
        assert alike == (part == "warp"), part


def test_a_warp_moves_energy_to_other_bands():
    frame = np.zeros(40, np.float32)
    frame[20] = 1
    assert np.argmax(frame @ warp_table(1.2, 40)) < 20
    assert np.argmax(frame @ warp_table(1 / 1.2, 40)) > 20
    assert_close(frame @ warp_table(1.0, 40), frame)
