"""Rows of i-vector directories: causal ones, online ones, their scale, means and archives."""

import os
import re
import shutil
import subprocess
import sys
from io import StringIO

import kaldi_native_io
import kaldiio
import numpy as np
import pytest
from helpers.data import assert_close, voices, write_features
from helpers.programs import call, call_fails
from helpers.shell import STEPS, run

from unspeech.cli.errors import UnspeechError
from unspeech.embedding.embedder import Embedder
from unspeech.embedding.online import OnlineEmbedder
from unspeech.embedding.rows import RowOptions, RunningMean, averaged, load_scale, rows_id
from unspeech.embedding.streams import read_text_frames
from unspeech.kaldi.archives import ArkWriter, iterate_arrays
from unspeech.kaldi.speakers import split_speakers
from unspeech.kaldi.tables import read_table, write_table
from unspeech.network.config_files import make_config
from unspeech.network.model import UnspeechModel, load_model

LENGTHS = [1, 2, 9, 10, 11, 15, 16, 17, 45]  # around a period of 10 frames and a window of 16


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(12, 2, size=(frames, 40)).astype(np.float32)


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
    options = ["--average", "running", "--spk2utt", data / "spk2utt", "--normalize-rows"]
    options += ["--feats", data / "feats.scp", "--model", tiny_model, "--period", 5]
    call("embed", "--online", *options, "--ark", tmp_path / "online" / "iv.ark")
    call("embed", "--causal", *options, "--ark", tmp_path / "causal" / "iv.ark")
    online, causal = (dict(iterate_arrays(tmp_path / d / "iv.scp")) for d in ("online", "causal"))
    assert list(online) == list(causal)
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


def test_running_mean_goes_on_within_a_speaker():
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=(n, 3)) for name, n in {"a1": 4, "b1": 2, "a2": 3}.items()}
    spk2utt = {"a": "a1 a2", "b": "b1"}
    options = RowOptions(average="running", genfeat_stride=10, max_remembered_frames=1000)
    means = dict(averaged(rows.items(), options, 100, spk2utt))
    both = np.concatenate([rows["a1"], rows["a2"]])
    expected = [both[: i + 1].mean(axis=0) for i in range(7)]
    assert_close(means["a1"], expected[:4])
    assert_close(means["a2"], expected[4:])
    assert_close(means["b1"][1], rows["b1"].mean(axis=0))
    backwards = dict(averaged(list(rows.items())[::-1], options, 100, spk2utt))
    for name, mean in means.items():
        np.testing.assert_array_equal(backwards[name], mean)  # spk2utt says what comes first

    forgetful = RunningMean(remembered=2)
    forgetful.add(rows["a1"])
    forgetful.end_utterance()
    first = forgetful.add(rows["a2"])[0]
    expected = (2 * rows["a1"].mean(axis=0) + rows["a2"][0]) / 3
    assert_close(first, expected)


def test_constants_of_utterances_and_speakers():
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=(n, 3)) for name, n in {"a1": 4, "b1": 2, "a2": 3}.items()}
    spk2utt = {"a": "a1 a2 without-features", "b": "b1"}
    speakers = dict(averaged(rows.items(), RowOptions(average="speaker"), 100, spk2utt))
    of_a = np.concatenate([rows["a1"], rows["a2"]]).mean(axis=0)
    assert_close(speakers["a1"], np.tile(of_a, (4, 1)))
    assert_close(speakers["a2"], np.tile(of_a, (3, 1)))
    utterances = dict(averaged(rows.items(), RowOptions(average="utterance"), 100, spk2utt))
    for name, own in rows.items():
        np.testing.assert_allclose(utterances[name], np.tile(own.mean(axis=0), (len(own), 1)))


UTT2SPK = {
    f"{speaker}-u{number:02}": speaker
    for speaker, count in {"c": 1, "a": 21, "b": 4}.items()
    for number in range(count)
}


def test_speakers_are_cut_as_kaldi_cuts_them(kaldi):
    script = kaldi / "egs/wsj/s5/utils/data/internal/modify_speaker_info.py"
    lines = "".join(f"{utterance} {speaker}\n" for utterance, speaker in UTT2SPK.items())
    for most in (1, 2, 7):
        command = [sys.executable, script, f"--utts-per-spk-max={most}", "--seconds-per-spk-max=-1"]
        theirs = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
        ours = split_speakers(UTT2SPK, most)
        assert theirs.stdout.splitlines() == [f"{u} {s}" for s, own in ours.items() for u in own]


@pytest.mark.parametrize("nj", [1, 2, 3, 50])
def test_jobs_hold_whole_speakers(tmp_path, nj, capsys):
    write_table(tmp_path / "utt2spk", UTT2SPK)
    feats = {u: f"f.ark:{i}" for i, u in enumerate(UTT2SPK) if u != "a-u03"}
    write_table(tmp_path / "feats.scp", feats)
    options = ["--feats", tmp_path / "feats.scp", "--utt2spk", tmp_path / "utt2spk"]
    call("speakers", *options, "--nj", nj, "--utts-per-spk-max", 2, "--out", tmp_path / "split")
    jobs = int(capsys.readouterr().out)
    assert jobs == min(nj, 14)
    found = {}
    for job in range(1, jobs + 1):
        own = read_table(tmp_path / f"split/feats.{job}.scp")
        spk2utt = read_table(tmp_path / f"split/feats.{job}.spk2utt")
        assert list(own) == [u for names in spk2utt.values() for u in names.split()]
        found |= own
    assert found == feats
    message = call_fails(
        "speakers", *options, "--nj", 1, "--utts-per-spk-max", 0, "--out", tmp_path
    )
    assert "--utts-per-spk-max: takes an integer, at least 1, or -1, not '0'" in message


def compressed(path, matrices):
    with ArkWriter(path, compress=True) as writer:
        for name, matrix in matrices.items():
            writer.write(name, matrix)
    return path


def test_compressed_archives_are_kaldis(tmp_path):
    rng = np.random.default_rng(0)
    matrices = {f"u{n}": rng.normal(size=(n, 8)).astype(np.float32) for n in (1, 4, 8, 9, 300)}
    matrices["constant"] = np.full((20, 8), 0.5, np.float32)
    ours = compressed(tmp_path / "ours.ark", matrices)
    theirs = tmp_path / "theirs.ark"
    automatic = kaldi_native_io.CompressionMethod.kAutomaticMethod
    with kaldi_native_io.CompressedMatrixWriter(f"ark:{theirs}") as writer:
        for name, matrix in matrices.items():
            writer.write(name, matrix, automatic)
    data = ours.read_bytes()
    assert len(data) == theirs.stat().st_size
    assert data.count(b"\0BCM2 ") == 3, "matrices of up to 8 rows"
    assert data.count(b"\0BCM ") == 3
    with (
        kaldi_native_io.SequentialFloatMatrixReader(f"ark:{ours}") as one,
        kaldi_native_io.SequentialFloatMatrixReader(f"ark:{theirs}") as two,
    ):
        for (name, own), (_, other) in zip(one, two, strict=True):
            np.testing.assert_allclose(own, other, atol=0.03)
            np.testing.assert_allclose(own, matrices[name], atol=0.06)
    for name, own in iterate_arrays(ours):
        np.testing.assert_allclose(own, matrices[name], atol=0.06)


@pytest.mark.parametrize(
    ("compress", "causal", "average"),
    [("kaldi_bin", "false", "none"), ("kaldi_compressed", "true", "running")],
)
def test_read_by_kaldis_own_code(tiny_model, tmp_path, compress, causal, average):
    data = write_features(tmp_path / "data", {f"u{n:03}": noise(n) for n in LENGTHS})
    options = ["--output-feat-format", compress, "--causal", causal, "--average", average]
    call("embed", *options, "--feats", data / "feats.scp", "--model", tiny_model, "--period", 7,
         "--ark", tmp_path / "iv.ark")  # fmt: skip
    with kaldi_native_io.SequentialFloatMatrixReader(f"scp:{tmp_path}/iv.scp") as reader:
        shapes = {name: rows.shape for name, rows in reader}
    assert shapes == {f"u{n:03}": (-(-n // 7), 8) for n in LENGTHS}
    assert (tmp_path / "ivector_period").read_text() == "7\n"
    if not shutil.which("feat-to-dim"):
        pytest.skip("no compiled Kaldi on PATH: not read by its programs")
    scp = f"scp:{tmp_path}/iv.scp"
    assert run("feat-to-dim", scp, "-").stdout == "8\n"
    copied = run("copy-feats", "--compress=true", scp, f"ark:{tmp_path}/copy.ark")
    assert f"Copied {len(LENGTHS)} feature matrices" in copied.stderr
    if compress == "kaldi_compressed":
        assert (tmp_path / "copy.ark").stat().st_size == (tmp_path / "iv.ark").stat().st_size


def test_step_with_kaldis_options(tiny_model, tiny_data, tmp_path):
    out = tmp_path / "iv"
    options = ["--average", "running", "--utts-per-spk-max", 2, "--compress", "true"]
    options += ["--causal", "true", "--normalize-rows", "true", "--period", 5]
    command = [STEPS / "extract.sh", *options, "--nj", 2, tiny_data, tiny_model, out]
    step = run(*command)
    assert step.returncode == 0, step.stderr
    features = kaldiio.load_scp(str(tiny_data / "feats.scp"))
    rows = dict(iterate_arrays(out / "ivector_online.scp"))
    assert {name: len(own) for name, own in rows.items()} == {
        name: -(-len(own) // 5) for name, own in features.items()
    }
    assert list(rows) == sorted(features)
    assert (out / "final.ie.id").read_text() == rows_id(tiny_model, RowOptions(normalize_rows=True))
    assert (out / "ivector_period").read_text() == "5\n"
    write_table(tmp_path / "spk2utt", {
        speaker: " ".join(own)
        for speaker, own in split_speakers(read_table(tiny_data / "utt2spk"), 2).items()
    })  # fmt: skip
    call("embed", "--causal", "--normalize-rows", "--average", "running", "--period", 5,
         "--spk2utt", tmp_path / "spk2utt", "--feats", tiny_data / "feats.scp",
         "--model", tiny_model, "--ark", tmp_path / "one.ark")  # fmt: skip
    for name, own in iterate_arrays(tmp_path / "one.ark"):
        np.testing.assert_allclose(rows[name], own, atol=0.05)

    assert "complete already" in run(*command).stdout
    changed = run(*command[:3], *command[5:])
    assert 'utts_per_spk_max was "2", is "-1"' in changed.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ["--average", "mean"],
            "--average takes none or running or utterance or speaker, not 'mean'",
        ),
        (["--utts-per-spk-max", "2"], "--utts-per-spk-max is for --average running or speaker"),
        (["--normalize-rows", "true"], "row_statistics.yaml: no such file; make it with python3"),
        (["--average", "speaker"], "utt2spk: no such file"),
    ],
)
def test_step_refuses(options, expected, tmp_path):
    for name in ("final.ie.id", "config.yaml", "feats.scp"):
        (tmp_path / name).write_text("x y\n")
    step = run(STEPS / "extract.sh", *options, tmp_path, tmp_path, tmp_path / "iv")
    assert step.returncode == 1
    assert expected in step.stderr
    assert not (tmp_path / "iv").exists()
