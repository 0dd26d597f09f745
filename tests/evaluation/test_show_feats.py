"""Pictures of features and embeddings."""

import numpy as np
import pytest
from helpers.data import write_features
from helpers.programs import call, call_fails
from matplotlib import image

from unspeech.evaluation.pictures import boundaries
from unspeech.kaldi.archives import ArkWriter


@pytest.fixture(scope="module")
def ivectors(tmp_path_factory):
    """Rows every 10 frames of four utterances: in row r of utterance u, 5 numbers u + r."""
    folder = tmp_path_factory.mktemp("ivectors")
    with ArkWriter(folder / "ivector_online.ark") as writer:
        for u in range(4):
            writer.write(f"s{u % 2}-u{u}", u + np.outer(np.arange(1, 9), np.ones(5)))
    (folder / "ivector_period").write_text("10\n")
    return folder


def drawn(path) -> np.ndarray:
    picture = image.imread(path)
    assert picture[..., :3].std() > 0.02, "the picture is empty"
    return picture


def test_features_and_embeddings_of_an_utterance(ivectors, tmp_path, capsys):
    data = write_features(tmp_path / "data", {"s1-u3": np.random.normal(size=(80, 40))})
    call("show_feats", "-i", ivectors, "--num_feat", 3, "--out", tmp_path / "rows.png")
    assert "Utterance s1-u3: 8 rows of 5 numbers" in capsys.readouterr().out
    ctm = tmp_path / "ctm"
    ctm.write_text("s1-u3 1 0.00 0.25 a\ns1-u3 1 0.25 0.30 b\n")
    more = ["--feats", data / "feats.scp", "--phn-file", ctm, "--out", tmp_path / "both.png"]
    call("show_feats", "-i", ivectors, "-n", 3, *more)
    assert drawn(tmp_path / "both.png").shape[0] > drawn(tmp_path / "rows.png").shape[0]
    message = call_fails("show_feats", "-i", ivectors, "-n", 2, *more)
    assert "utterance 's0-u2' is not in it" in message
    message = call_fails("show_feats", "-i", ivectors, "-n", 4, "--out", tmp_path / "no.png")
    assert "there is no utterance 4, counted from 0" in message
    assert not (tmp_path / "no.png").exists()


def test_boundaries_of_units(tmp_path):
    path = tmp_path / "units"
    path.write_text("u 1 0.00 0.25 a\nu 1 0.25 0.30 b\nv 1 0 0.1 c\n")
    np.testing.assert_allclose(boundaries(path, "u"), [0.25, 0.55])
    path.write_text("0 3200 h#\n3200 8000 sh\n")
    np.testing.assert_allclose(boundaries(path, "u"), [0.2, 0.5])


def test_means_of_dimensions(ivectors, tmp_path, capsys):
    call("show_feats", "--mode", "stats", "-i", ivectors, "--out", tmp_path / "stats.png")
    drawn(tmp_path / "stats.png")
    assert "4 utterances" in capsys.readouterr().out


def test_tsne_of_classes(tmp_path, capsys):
    rng = np.random.default_rng(0)
    with ArkWriter(tmp_path / "embedding.ark") as writer:
        for u in range(30):
            writer.write(f"u{u:02d}", rng.normal(size=6) + 4 * (u % 3))
    classes = "".join(f"u{u:02d} c{u % 3}\n" for u in range(24))
    (tmp_path / "classes").write_text(classes)
    options = ["--mode", "classes_tsne", "-i", tmp_path, "--out", tmp_path / "tsne.png"]
    call("show_feats", *options, "--utt_2_class", tmp_path / "classes")
    drawn(tmp_path / "tsne.png")
    assert "24 of 30 utterances, seed 1" in capsys.readouterr().out
    assert "give the classes by --utt-2-class" in call_fails("show_feats", *options)
    (tmp_path / "classes").write_text("v c\n")
    message = call_fails("show_feats", *options, "-u", tmp_path / "classes")
    assert "names 0 of the 30 utterances" in message


def test_filters_need_a_model_of_waveforms(tiny_model, tmp_path):
    options = ["--mode", "filters", "-i", tiny_model, "--out", tmp_path / "filters.png"]
    assert "no model of waveforms" in call_fails("show_feats", *options)
