"""Settings of training: what is refused, and what is recognised again."""

import shutil

import numpy as np
import pytest
import yaml
from helpers.data import voices, write_features
from helpers.models import tiny_options
from helpers.programs import call, call_fails


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--window_length", "many"], "window_length takes an integer, at least 1"),
        (["--batch_size", "1"], "batch_size takes an integer, at least 2"),
        (["--embedding_transformation", "Vgg17"], "no encoder 'Vgg17'; there are: "),
        (["--objective", "none"], "objective: there is no 'none'"),
        (
            ["--objective", "infonce", "--use_dot_combine", "false"],
            "use_dot_combine false needs the objective logistic",
        ),
        (
            [
                "--window_length",
                "8",
                "--window_neg_length",
                "8",
                "--embedding_transformation",
                "Vgg16",
            ],
            "cannot take windows of 8 frames",
        ),
        (["--window_length", "32"], "set tied_embeddings_transforms to false"),
        (["--dropout_keep_prob", "0"], "dropout_keep_prob takes a finite number, more than 0"),
        (["--window_length", "64", "--window_neg_length", "64"], "none of 24 recordings has"),
    ],
)
def test_bad_settings(options, expected, tiny_data, tmp_path):
    command = ["--data", tiny_data, "--dir", tmp_path / "model", *tiny_options(), *options]
    assert expected in call_fails("train", *command)
    assert not (tmp_path / "model" / "final.ie.id").exists()


def test_bad_config_files(tiny_data, tmp_path):
    common = ["--data", tiny_data, "--dir", tmp_path / "model"]
    path = tmp_path / "conf.yaml"
    assert f"{path}: no such file" in call_fails("train", *common, "--config", path)
    path.write_text("windowlength: 64\n")
    message = call_fails("train", *common, "--config", path)
    assert f"{path}: unknown setting 'windowlength'" in message
    path.write_text("- 64\n")
    assert f"{path}: expected lines of" in call_fails("train", *common, "--config", path)
    path.write_text("a: b: c\n")
    assert f"{path}: not valid YAML" in call_fails("train", *common, "--config", path)


def test_a_setting_without_a_value_is_refused(tiny_data, tmp_path):
    path = tmp_path / "conf.yaml"
    path.write_text("spk2utt:\n")
    command = ["--data", tiny_data, "--dir", tmp_path / "model", "--config", path]
    assert f"{path}: spk2utt has no value: give one" in call_fails("train", *command)


def test_paths_of_any_form_are_recognised_again(tiny_data, tmp_path):
    data = tmp_path / "of: a corpus # 1"
    shutil.copytree(tiny_data, data)
    options = ["--data", data, "--dir", tmp_path / "model", *tiny_options()]
    for steps in (1, 2):
        call("train", *options, "--num-steps", steps, "--embedding-transformation", "BaselineDnn")
    known = yaml.safe_load((tmp_path / "model/trained_on.yaml").read_text())
    assert known["data"] == str(data)
    assert known["utterances"] == 24


def test_units_shorter_than_a_window_make_a_model(tmp_path):
    rng = np.random.default_rng(0)
    features = {f"s{i}-u": rng.normal(size=(12, 40)).astype(np.float32) for i in range(4)}
    data = write_features(tmp_path / "data", features)
    units = [f"{u} 1 {k * 0.02:.2f} 0.02 a\n" for u in features for k in range(6)]
    (tmp_path / "ali.ctm").write_text("".join(units))
    options = tiny_options(
        embedding_transformation="Dynamic_LSTM", ali_ctm=tmp_path / "ali.ctm", num_steps=1,
        rnn_hidden_cells=8,
    )  # fmt: skip
    call("train", "--data", data, "--dir", tmp_path / "model", *options)
    assert (tmp_path / "model/final.ie.id").exists()
    command = ["--feats", data / "feats.scp", "--model", tmp_path / "model", "--normalize-rows"]
    message = call_fails("embed", *command, "--ark", tmp_path / "iv.ark")
    assert "row_statistics.yaml: no such file" in message


def test_bad_features(tmp_path):
    common = ["--dir", tmp_path / "model", *tiny_options()]
    good = voices(6, 2)
    cases = {
        "s1-u0": (np.full((99, 40), np.nan, np.float32), "NaN or infinite value in frame 0"),
        "s2-u1": (np.ones((99, 39), np.float32), "39 dimensions, the model expects 40"),
    }
    for utterance, (features, expected) in cases.items():
        data = write_features(tmp_path / utterance, good | {utterance: features})
        message = call_fails("train", "--data", data, *common)
        assert f"{data}/feats.scp: utterance '{utterance}': " in message
        assert expected in message
    assert "feats.scp: no such file; run steps_unspeech/make_fbank.sh" in call_fails(
        "train", "--data", tmp_path, *common
    )
