"""Means over time: running ones, constants, and jobs that hold whole speakers."""

import subprocess
import sys

import numpy as np
import pytest
from helpers.data import assert_close
from helpers.programs import call, call_fails

from unspeech.embedding.rows import RowOptions, RunningMean, averaged
from unspeech.kaldi.speakers import split_speakers
from unspeech.kaldi.tables import read_table, write_table


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
