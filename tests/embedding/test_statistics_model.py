"""Models without a network: rows over time, streaming, vectors, and no TensorFlow for any of it."""

import subprocess
import sys

import numpy as np
import pytest
from helpers.data import voices
from helpers.programs import call, call_fails

from unspeech.cli.errors import UnspeechError
from unspeech.embedding.rows import RowOptions
from unspeech.embedding.statistics import load_statistics_model
from unspeech.embedding.statistics_rows import OnlineStatistics, StatisticsRows
from unspeech.kaldi.archives import iterate_arrays
from unspeech.kaldi.tables import read_table

LENGTH = 30  # of a window
SPK2UTT = {"a": "a-1 a-2 a-3", "b": "b-1 b-2"}
TOLERANCE = 1e-5  # of a row's largest value


@pytest.fixture(scope="module")
def model(statistics_model):
    return load_statistics_model(statistics_model)


@pytest.fixture(scope="module")
def speech() -> dict[str, np.ndarray]:
    """Utterances of two speakers, one of which shorter than a window, and one of nobody's."""
    rng = np.random.default_rng(0)
    lengths = {"a-1": 75, "a-2": 12, "a-3": 121, "b-1": 31, "b-2": 30, "c-1": 64}
    return {
        name: (12 + np.cumsum(rng.normal(size=(count, 40)), axis=0) / 3).astype(np.float32)
        for name, count in lengths.items()
    }


def rows_of(model, speech, spk2utt=SPK2UTT, **options) -> dict[str, np.ndarray]:
    return dict(StatisticsRows(model, RowOptions(**options)).rows(speech.items(), spk2utt))


def assert_rows(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, rows in expected.items():
        assert found[name].dtype == np.float32
        tolerance = TOLERANCE * max(np.abs(rows).max(), 1)
        np.testing.assert_allclose(found[name], rows, rtol=0, atol=tolerance, err_msg=name)


def directly(model, speech, options: RowOptions) -> dict[str, np.ndarray]:
    """Each row from its own frames, one by one, as the docstring of `StatisticsRows` says."""
    pooling, prior = model.values.pooling, options.prior_frames * model.head.prior
    stride = options.genfeat_stride

    def sums(name: str, begin: int, end: int) -> np.ndarray:
        return pooling.sums(speech[name], np.array([begin, end]))[0]

    def row(of: np.ndarray) -> np.ndarray:
        return model.head(pooling.values(of + prior))

    alone = {name: name for name in speech if name not in " ".join(SPK2UTT.values()).split()}
    made = {}
    for utterances in (SPK2UTT | alone).values():
        names = utterances.split()
        before = np.zeros(pooling.sums_width)
        for name in names:
            count, rows = len(speech[name]), []
            for t in range(0, count, stride):
                if options.causal:
                    begin, end = max(0, t + 1 - LENGTH), t + 1
                else:
                    whole = [s for s in range(0, count, stride) if s + LENGTH <= count]
                    begin = min(t, max(whole, default=0))
                    end = min(begin + LENGTH, count)
                if options.average == "none":
                    rows.append(row(sums(name, begin, end)))
                elif options.average == "running":
                    rows.append(row(before + sums(name, 0, end)))
                elif options.average == "utterance":
                    rows.append(row(sums(name, 0, count)))
                else:
                    rows.append(row(sum(sums(each, 0, len(speech[each])) for each in names)))
            made[name] = np.array(rows)
            before = before + sums(name, 0, count)
            if before[0] > options.max_remembered_frames:
                before *= options.max_remembered_frames / before[0]
    return made


CASES = [
    ("none", False), ("none", True), ("running", False), ("running", True),
    ("utterance", False), ("speaker", False),
]  # fmt: skip


@pytest.mark.parametrize(("average", "causal"), CASES)
@pytest.mark.parametrize("settings", [
    {"genfeat_stride": 10}, {"genfeat_stride": 7, "prior_frames": 0},
    {"genfeat_stride": 1, "max_remembered_frames": 50}, {"genfeat_stride": 45},
])  # fmt: skip
def test_rows_are_those_of_their_frames(model, speech, average, causal, settings):
    options = RowOptions(average=average, causal=causal, **settings)
    found = dict(StatisticsRows(model, options).rows(speech.items(), SPK2UTT))
    assert_rows(found, directly(model, speech, options))


@pytest.mark.parametrize(("average", "causal"), CASES)
def test_means_of_the_features_before_the_embedding(model, speech, average, causal):
    settings = {"average": average, "causal": causal, "prior_frames": 0}
    plain, found = (
        rows_of(model, speech, SPK2UTT, feature_means=means, **settings) for means in (False, True)
    )
    corpus = model.head.prior[2:42]
    for name, rows in found.items():
        np.testing.assert_array_equal(rows[:, 40:], plain[name])
        if average == "utterance":
            expected = np.tile(speech[name].mean(axis=0) - corpus, (len(rows), 1))
            np.testing.assert_allclose(rows[:, :40], expected, atol=1e-4)
    name = next(iter(found))
    if average == "running" and causal:
        np.testing.assert_allclose(found[name][0, :40], speech[name][0] - corpus, atol=1e-4)
    held = rows_of(model, {"u": speech[name][:1]}, {}, feature_means=True, causal=True)["u"]
    assert np.abs(held[0, :40]).max() < np.abs(speech[name][0] - corpus).max() / 50  # the prior


@pytest.mark.parametrize(("average", "causal"), CASES)
def test_a_row_a_period_whatever_the_length(model, average, causal):
    whole = np.concatenate(list(voices(1, 3).values()))
    speech = {f"u-{n}": whole[:n] for n in range(1, 201)}
    for period in (1, 3, 10, 199, 500):
        rows = rows_of(model, speech, {}, genfeat_stride=period, average=average, causal=causal)
        assert {u: len(r) for u, r in rows.items()} == {
            u: -(-len(f) // period) for u, f in speech.items()
        }
        assert all(np.isfinite(r).all() for r in rows.values())


def test_digital_silence_has_finite_rows(model):
    for level in (0.0, -15.9):
        silence = {"u": np.full((100, 40), level, np.float32)}
        for prior in (0, 100):
            rows = rows_of(model, silence, {}, causal=True, prior_frames=prior)["u"]
            assert np.isfinite(rows).all()
            assert np.abs(rows).max() <= 4  # the limit


def test_a_prior_holds_rows_while_little_is_heard(model, speech):
    assert model.head.prior[0] == pytest.approx(1)
    average = model.head(model.values.pooling.values(model.head.prior))
    away = {}
    for prior in (0, 100, 1e6):
        rows = rows_of(model, speech, {}, causal=True, average="running", prior_frames=prior)
        away[prior] = np.linalg.norm(rows["a-3"] - average, axis=1)
    assert away[100][0] < 0.5 * away[0][0]
    assert away[100][0] < 0.5 * away[100][-1], "what is said is heard more and more"
    assert away[1e6].max() < 0.01 * away[0].max(), "nothing is heard beside it"


def test_what_is_remembered_of_a_speaker(model, speech):
    """With no memory each utterance begins anew; else it begins where the last one ended."""
    own = rows_of(model, speech, {}, causal=True, average="running")
    forgotten = rows_of(model, speech, causal=True, average="running", max_remembered_frames=0)
    assert_rows(forgotten, own)
    carried = rows_of(model, speech, causal=True, average="running", max_remembered_frames=1000)
    np.testing.assert_array_equal(carried["a-1"], own["a-1"])
    end = rows_of(model, speech, genfeat_stride=1, causal=True, average="running")["a-1"][-1]
    jump = np.linalg.norm(carried["a-2"][0] - end)
    assert jump < 0.3 * np.linalg.norm(own["a-2"][0] - end)


# Online


@pytest.mark.parametrize("settings", [
    {"average": "none"}, {"average": "running"},
    {"average": "running", "max_remembered_frames": 40, "prior_frames": 3},
    {"average": "none", "genfeat_stride": 1, "prior_frames": 0},
    {"average": "running", "genfeat_stride": 77},
    {"average": "running", "feature_means": True},
])  # fmt: skip
@pytest.mark.parametrize("block", [1, 9, 10, 64, 1000, "random"])
def test_streamed_rows_are_the_offline_ones(model, speech, settings, block):
    options = RowOptions(causal=True, **settings)
    expected = dict(StatisticsRows(model, options).rows(speech.items(), SPK2UTT))
    online = OnlineStatistics(model, options)
    rng = np.random.default_rng(1)
    found = {}
    for names in [*SPK2UTT.values(), "c-1"]:
        online.new_speaker()
        for name in names.split():
            place, rows = 0, []
            while place < len(speech[name]):
                size = rng.integers(0, 25) if block == "random" else block
                new = online.accept(speech[name][place : place + size])
                place += size
                rows.append(new)
                # A row is there as soon as its frame is.
                heard = min(place, len(speech[name]))
                assert sum(map(len, rows)) == -(-heard // options.genfeat_stride)
            online.flush()
            found[name] = np.concatenate(rows)
    assert_rows(found, expected)


def test_only_causal_rows_can_be_streamed(model):
    refused = ({}, {"causal": True, "average": "speaker"}, {"causal": True, "average": "utterance"})
    for settings in refused:
        with pytest.raises(UnspeechError, match="causal"):
            OnlineStatistics(model, RowOptions(**settings))


@pytest.mark.parametrize("average", ["none", "running"])
def test_the_program_streams_the_same(statistics_model, tiny_data, tmp_path, average):
    common = ["--feats", tiny_data / "feats.scp", "--model", statistics_model]
    common += ["--average", average, "--spk2utt", tiny_data / "spk2utt"]
    call("embed", *common, "--causal", "true", "--ark", tmp_path / "offline/i.ark")
    call("embed", *common, "--online", "--ark", tmp_path / "online/i.ark")
    made = [dict(iterate_arrays(tmp_path / kind / "i.scp")) for kind in ("offline", "online")]
    assert_rows(*made)
    ids = [(tmp_path / kind / "final.ie.id").read_text() for kind in ("offline", "online")]
    assert ids[0] == ids[1]
    frames = {u: len(f) for u, f in voices().items()}
    assert {u: len(r) for u, r in made[0].items()} == {u: -(-n // 10) for u, n in frames.items()}


def test_text_comes_row_by_row(statistics_model, model, speech, tmp_path):
    lines = ["a-1  ["]
    lines += [" ".join(f"{x:.9g}" for x in frame) for frame in speech["a-1"]]
    command = [sys.executable, "-m", "unspeech.embed", "--online", "--feats", "-", "--ark", "-"]
    command += ["--model", statistics_model, "--average", "running"]
    done = subprocess.run(
        list(map(str, command)), input="\n".join([*lines, "]", ""]), capture_output=True,
        text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    head, *rows, tail = done.stdout.splitlines()
    assert (head, tail) == ("a-1  [", "]")
    expected = rows_of(model, {"a-1": speech["a-1"]}, {}, causal=True, average="running")
    found = np.array([row.split() for row in rows], np.float32)
    assert_rows({"a-1": found}, expected)


# Options


NETWORKS = {
    "normalize_rows": "true", "rows_as_original": "true", "genfeat_boost": "true",
    "genfeat_combine_contexts": "true", "genfeat_combine_fbank": "true",
    "genfeat_kaldi_meannorm": "true", "generate_speaker_vectors": "true",
    "generate_fbank_segmentation": "true", "kaldi_normalize_to_input_length": "true",
    "genfeat_interpolate_outputlength_padding": "false",
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_options_for_networks_are_refused(statistics_model, tiny_data, tmp_path, name):
    common = ["--feats", tiny_data / "feats.scp", "--model", statistics_model]
    option = [f"--{name.replace('_', '-')}", NETWORKS[name]]
    message = call_fails("embed", *common, *option, "--ark", tmp_path / "i.ark")
    assert f"{name}: is for networks" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--average", "mean"], "average is 'mean'; it can be none, running, utterance, speaker"),
        (["--average", "speaker", "--causal", "true"], "cannot know what comes later"),
        (["--average", "utterance", "--causal", "true"], "cannot know what comes later"),
        (["--test-perf"], "--test-perf and unit_emb are for networks"),
        (["--output-feat-format", "unit_emb"], "--test-perf and unit_emb are for networks"),
        (["--online", "--average", "speaker"], "causal"),
        (["--prior-frames", "-1"], "prior_frames"),
        (["--prior-frames", "nan"], "prior_frames"),
    ],
)
def test_options_that_do_not_go_together(statistics_model, tiny_data, tmp_path, options, says):
    common = ["--feats", tiny_data / "feats.scp", "--model", statistics_model]
    assert says in call_fails("embed", *common, *options, "--ark", tmp_path / "i.ark")
    assert not list(tmp_path.iterdir())


# Utterances


def test_vectors_of_utterances(statistics_model, model, tiny_data, tmp_path):
    common = ["--feats", tiny_data / "feats.scp", "--model", statistics_model]
    call("embed", "utterances", *common, "--ark", tmp_path / "e.ark")
    vectors = dict(iterate_arrays(tmp_path / "e.scp"))
    assert list(vectors) == list(read_table(tiny_data / "feats.scp"))
    for name, features in voices().items():
        assert vectors[name].shape == (model.dim,) == (model.values.width,)
        assert np.linalg.norm(vectors[name]) == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(vectors[name], model.embed(features), atol=1e-6)
    names = list(vectors)
    cosine = np.array(list(vectors.values())) @ np.array(list(vectors.values())).T
    same = np.array([[a[:2] == b[:2] for b in names] for a in names])
    own = np.eye(len(names), dtype=bool)
    assert cosine[same & ~own].mean() > cosine[~same].mean() + 0.2
