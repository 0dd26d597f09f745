"""Rows of i-vector directories: causal ones, online ones, their scale, means and archives."""

import os
import re
import shutil
import sys
from io import StringIO

import kaldi_native_io
import numpy as np
import pytest
from helpers.data import LENGTHS, assert_close, noise, voices, write_features
from helpers.programs import call, call_fails
from helpers.shell import run

import unspeech
from unspeech.cli.errors import UnspeechError
from unspeech.embedding.embedder import Embedder
from unspeech.embedding.online import OnlineEmbedder
from unspeech.embedding.rows import RowOptions, averaged, load_scale, rows_id
from unspeech.embedding.streams import read_text_frames
from unspeech.kaldi.archives import iterate_arrays
from unspeech.network.config_files import make_config
from unspeech.network.model import UnspeechModel, load_model


def rows_of(model, features, scale=None, **options):
    ((_, rows),) = Embedder(model, RowOptions(**options), scale).rows([("u", features)])
    return rows


@pytest.fixture(scope="module")
def model(tiny_model):
    return load_model(tiny_model)


@pytest.mark.parametrize("period", [1, 7, 10, 500])
def test_causal_row_is_the_last_window_so_far(model, period):
    utterances = [(f"u{n}", noise(n, seed=n)) for n in LENGTHS]
    options = RowOptions(causal=True, genfeat_stride=period)
    rows = dict(Embedder(model, options).rows(utterances))
    for name, features in utterances:
        assert len(rows[name]) == -(-len(features) // period)
        windows = [
            np.resize(features[max(0, t - 15) : t + 1], (16, 40))  # repeated until it is full
            for t in range(0, len(features), period)
        ]
        expected = model.embed_targets(np.stack(windows)).numpy()
        assert_close(rows[name], expected)


def windows_of_the_original(features, length, stride, padding, extended):
    """The windows that the original's `gen_feat` embeds, computed as it says, one by one."""
    if extended:
        features = np.vstack([features, [features[-1]] * (length - 1)])
    if len(features) < length:
        windows = [np.vstack([features, np.zeros((length - len(features), features.shape[1]))])]
    else:
        windows = [features[i : i + length] for i in range(len(features) - length + 1)]
    if padding:
        windows = windows + [windows[-1]] * (length - 1)
    return np.stack(windows[::stride]).astype(np.float32)


@pytest.mark.parametrize("stride", [1, 7, 10])
@pytest.mark.parametrize("padding", [True, False])
@pytest.mark.parametrize("extended", [False, True])
def test_rows_as_the_original_makes_them(model, stride, padding, extended):
    utterances = [(f"u{n}", noise(n, seed=n)) for n in LENGTHS]
    options = RowOptions(
        rows_as_original=True, genfeat_stride=stride, genfeat_combine_contexts=True,
        genfeat_interpolate_outputlength_padding=padding,
        kaldi_normalize_to_input_length=extended,
    )  # fmt: skip
    for name, rows in Embedder(model, options).rows(utterances):
        windows = windows_of_the_original(dict(utterances)[name], 16, stride, padding, extended)
        both = model.embed_targets(windows), model.embed_contexts(windows)
        np.testing.assert_allclose(rows, np.concatenate(both, axis=1), atol=1e-5)


def test_rows_as_the_original_makes_them_are_of_other_windows(model, tiny_model, tmp_path):
    features = noise(45)
    ours, theirs = rows_of(model, features), rows_of(model, features, rows_as_original=True)
    np.testing.assert_allclose(theirs[:3], ours[:3], atol=1e-5)
    assert np.abs(theirs[3] - ours[3]).max() > 1e-3, "window 29, not 20"
    with pytest.raises(UnspeechError, match="what comes later: leave out rows_as_original"):
        rows_of(model, features, causal=True, rows_as_original=True)
    # An imported model makes them if nothing else is said.
    imported = shutil.copytree(tiny_model, tmp_path / "imported")
    (imported / "trained_on.yaml").write_text("checkpoint: runs/tf10-12000\n")
    data = write_features(tmp_path / "data", {"u": features, "short": features[:9]})
    command = ["--feats", data / "feats.scp", "--ark", tmp_path / "iv.ark", "--model"]
    for directory, options, expected in (
        (tiny_model, [], ours),
        (imported, [], theirs),
        (imported, ["--rows-as-original", "false"], ours),
        (tiny_model, ["--rows-as-original"], theirs),
    ):
        call("embed", *command, directory, *options)
        found = dict(iterate_arrays(tmp_path / "iv.scp"))
        np.testing.assert_allclose(found["u"], expected, atol=1e-5)
        assert len(found["short"]) == (2 if expected is theirs else 1)
    sound = 0.1 * np.random.default_rng(0).normal(size=6480), 16000
    in_python = unspeech.load_model(imported)
    rows = in_python.rows(sound)
    np.testing.assert_array_equal(rows, in_python.rows(sound, rows_as_original=True))
    assert np.abs(rows - in_python.rows(sound, rows_as_original=False)).max() > 1e-3


def test_causal_rows_do_not_know_what_comes(model):
    features = noise(45)
    changed = features.copy()
    changed[31:] += 5
    rows, other = (rows_of(model, f, causal=True, average="running") for f in (features, changed))
    np.testing.assert_array_equal(rows[:4], other[:4])
    assert np.abs(rows[4] - other[4]).max() > 1e-3
    for later in ("genfeat_boost", "kaldi_normalize_to_input_length", "generate_speaker_vectors"):
        with pytest.raises(UnspeechError, match=f"what comes later: leave out {later}"):
            rows_of(model, features, causal=True, **{later: True})
    with pytest.raises(UnspeechError, match="leave out average speaker"):
        rows_of(model, features, causal=True, average="speaker")


@pytest.mark.parametrize(
    "options",
    [
        {"genfeat_stride": 7, "average": "running", "max_remembered_frames": 20},
        {"genfeat_stride": 30, "genfeat_combine_fbank": True},
        {"genfeat_stride": 1, "genfeat_combine_contexts": True, "normalize_rows": True},
    ],
)
def test_online_rows_are_the_causal_ones(model, tiny_model, options):
    options = RowOptions(causal=True, **options)
    scale = load_scale(tiny_model, options)
    utterances = [("a-1", noise(1)), ("a-2", noise(45)), ("b-1", noise(100))]
    offline = dict(
        averaged(Embedder(model, options, scale).rows(utterances), options, 100, {"a": "a-1 a-2"})
    )
    online = OnlineEmbedder(model, options, scale)
    rng = np.random.default_rng(4)
    for name, features in utterances:
        if name == "b-1":
            online.new_speaker()
        cuts = np.sort(rng.integers(0, len(features), 10))
        rows = [online.accept(block) for block in np.split(features, cuts)]
        online.flush()
        assert_close(np.concatenate(rows), offline[name])


def test_causal_and_online_rows_of_an_encoder_that_pools():
    config = {"embedding_transformation": "TDNN", "window_length": 80, "window_neg_length": 80,
              "fc_size": 0, "embedding_size": 8, "tdnn_channels": 16, "pooled_channels": 24,
              "context_sampling": "recording", "left_contexts": 0, "right_contexts": 1}  # fmt: skip
    model = UnspeechModel(make_config(config, "test"))
    features = noise(207)
    rows = rows_of(model, features, causal=True)
    starts = np.arange(0, 207, 10) - 79
    windows = [np.resize(features[max(0, s) : s + 80], (80, 40)) for s in starts]
    expected = model.embed_targets(np.stack(windows)).numpy()
    assert_close(rows, expected)
    online = OnlineEmbedder(model, RowOptions(causal=True))
    assert_close(online.accept(features), rows)


def test_online_rows_must_be_causal(model):
    with pytest.raises(UnspeechError, match="online rows are causal"):
        OnlineEmbedder(model, RowOptions())


class Speech:
    """A text archive on stdin; notes how many lines are on stdout whenever one is taken."""

    def __init__(self, utterances, capsys) -> None:
        self._lines = []
        for name, features in utterances:
            rows = [" ".join(map(str, row)) for row in features]
            self._lines += [f"{name}  [\n", *(f"  {row}\n" for row in rows[:-1]), f"{rows[-1]} ]\n"]
        self._capsys = capsys
        self.out = ""
        self.lines_before: list[int] = []

    def __iter__(self):
        for line in self._lines:
            self.out += self._capsys.readouterr().out
            self.lines_before.append(self.out.count("\n"))
            yield line


def test_online_program_prints_a_row_with_its_frame(tiny_model, tmp_path, monkeypatch, capsys):
    utterances = [("a", noise(25)), ("b", noise(3))]
    speech = Speech(utterances, capsys)
    monkeypatch.setattr(sys, "stdin", speech)
    call("embed", "--online", "--feats", "-", "--model", tiny_model, "--ark", "-")
    end = capsys.readouterr()
    (tmp_path / "out.ark").write_text(speech.out + end.out)
    assert "Delay: no frame" in end.err
    # After the name's line frame 0 is taken, and its row is there before frame 1 is.
    assert speech.lines_before[:14] == [0, 1] + [2] * 10 + [3, 3]
    data = write_features(tmp_path / "data", dict(utterances))
    call("embed", "--causal", "--feats", data / "feats.scp", "--model", tiny_model,
         "--ark", tmp_path / "causal.ark")  # fmt: skip
    causal = dict(iterate_arrays(tmp_path / "causal.scp"))
    with kaldi_native_io.SequentialFloatMatrixReader(f"ark,t:{tmp_path}/out.ark") as reader:
        for name, rows in reader:
            assert_close(rows, causal.pop(name))
    assert not causal


def test_online_program_with_archives_and_speakers(tiny_model, tmp_path):
    data = write_features(tmp_path / "data", voices(2, 3))
    lines = (data / "feats.scp").read_text().splitlines()
    lines.sort(key=lambda line: line.split()[0].split("-")[1])  # they take turns
    (data / "feats.scp").write_text("\n".join(lines) + "\n")
    options = ["--average", "running", "--spk2utt", data / "spk2utt", "--normalize-rows"]
    options += ["--feats", data / "feats.scp", "--model", tiny_model, "--period", 5]
    call("embed", "--online", *options, "--ark", tmp_path / "online" / "iv.ark")
    call("embed", "--causal", *options, "--ark", tmp_path / "causal" / "iv.ark")
    online, causal = (dict(iterate_arrays(tmp_path / d / "iv.scp")) for d in ("online", "causal"))
    assert sorted(online) == sorted(causal)
    for name, rows in causal.items():
        assert_close(online[name], rows)
    for file in ("final.ie.id", "ivector_period"):
        assert (tmp_path / "online" / file).read_text() == (tmp_path / "causal" / file).read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("u  [\n 1 2\n", "utterance 'u': frame 0 is not 40 finite numbers"),
        ("u  [\n" + "1 " * 40 + "\n" + "nan " * 40 + "]\n", "'u': frame 1 is not 40 finite"),
        ("u  [\n" + "1 " * 40 + "\n", "utterance 'u': ends without ']'"),
        ("u  [ ]\n", "utterance 'u': has no frames"),
        ("RIFF 1 2\n", "expected '<utterance> [', found 'RIFF 1 2'"),
    ],
)
def test_bad_text_on_stdin(text, expected):
    def read():
        for _, frames in read_text_frames(StringIO(text), 40):
            list(frames)

    with pytest.raises(UnspeechError, match=re.escape(expected)):
        read()


def test_normalized_rows(model, tiny_model, tiny_data, tmp_path):
    statistics = tiny_model / "row_statistics.yaml"
    options = RowOptions(genfeat_stride=1, normalize_rows=True, genfeat_combine_contexts=True,
                         genfeat_interpolate_outputlength_padding=False)  # fmt: skip
    embedder = Embedder(model, options, load_scale(tiny_model, options))
    rows = np.concatenate(
        [rows for _, rows in embedder.rows(iterate_arrays(tiny_data / "feats.scp"))]
    )
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(rows.std(axis=0), 1, atol=0.1)

    before = statistics.read_bytes()
    call("row_statistics", "--data", tiny_data, "--model", tiny_model)
    assert statistics.read_bytes() == before, "the program does what training does"
    older = shutil.copytree(tiny_model, tmp_path / "older")
    (older / statistics.name).unlink()
    command = ["--feats", tiny_data / "feats.scp", "--model", older, "--ark", tmp_path / "i.ark"]
    message = call_fails("embed", *command, "--normalize-rows")
    assert "run python3 -m unspeech.row_statistics --data" in message
    short = write_features(tmp_path / "short", {"u": noise(15)})
    message = call_fails("row_statistics", "--data", short, "--model", older)
    assert "no utterance has the 16 frames of a window" in message


def test_id_tells_rows_apart_that_a_network_cannot_take_for_each_other(tiny_model, tmp_path):
    own = (tiny_model / "final.ie.id").read_text()
    same = [{}, {"causal": True}, {"average": "running"}, {"genfeat_stride": 3}]
    same += [{"rows_as_original": True}]
    assert {rows_id(tiny_model, RowOptions(**options)) for options in same} == {own}
    other = [{"normalize_rows": True}, {"genfeat_boost": True}, {"genfeat_combine_contexts": True}]
    ids = {rows_id(tiny_model, RowOptions(**options)) for options in other}
    assert len(ids) == 3
    assert own not in ids
    again = shutil.copytree(tiny_model, tmp_path / "again")
    with (again / "row_statistics.yaml").open("a") as file:
        file.write("# of other speech\n")
    assert rows_id(again, RowOptions(normalize_rows=True)) not in ids


def test_kaldi_refuses_rows_of_another_scale(tiny_model, kaldi, tmp_path):
    for name, options in {"raw": {}, "normal": {"normalize_rows": True}}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "final.ie.id").write_text(rows_id(tiny_model, RowOptions(**options)))
    shutil.copytree(tmp_path / "raw", tmp_path / "network")
    recipe = kaldi / "egs/wsj/s5"
    for name, status in {"raw": 0, "normal": 1}.items():
        check = run(
            "steps/nnet2/check_ivectors_compatible.sh", tmp_path / "network", tmp_path / name,
            cwd=recipe, PATH=f"{recipe}/utils:{os.environ['PATH']}",
        )  # fmt: skip
        assert check.returncode == status, check.stderr
    assert "do not match" in check.stderr
