"""Copies of utterances through other rooms, microphones and lines, and in other voices."""

import numpy as np
import pytest
from helpers.data import tone, write_two_speakers
from helpers.programs import ROOT, call, call_fails
from helpers.shell import STEPS, run

from unspeech.audio import augmentation
from unspeech.audio.augmentation import Channels, copies_of, other_channel, other_voice
from unspeech.audio.utterances import DataAudio
from unspeech.kaldi.copies import recordings_of, unaugmented
from unspeech.kaldi.tables import read_table, write_table

RATE = augmentation.RATE
STEP = STEPS / "augment.sh"
SILENT = dict.fromkeys(("reverberation", "noise", "colour", "band", "codec"), 0.0)


def augment(data, new, *options):
    """As the step does, in this process."""
    made = new.parent / "made"
    utterances = data / ("segments" if (data / "segments").exists() else "wav.scp")
    common = ["--data", data, "--made", made]
    call(
        "augment_data", "audio", *common, "--utterances", utterances, "--audio", new / "audio",
        "--config", ROOT / "conf/augment.yaml", *options,
    )  # fmt: skip
    call("augment_data", "tables", *common, "--out", new)


@pytest.mark.parametrize("segments", [True, False])
def test_copies_and_their_tables(tmp_path, segments):
    data, new = write_two_speakers(tmp_path / "data", segments), tmp_path / "new"
    if segments:
        command = [STEP, "--nj", 2, "--copies", 2, "--voices", 1, data, new]
        done = run(*command, KALDI_ROOT="")
        assert done.returncode == 0, done.stderr
        assert "complete already" in run(*command, KALDI_ROOT="").stdout
    else:
        augment(data, new, "--copies", 2, "--voices", 1)
    names = list(read_table(data / "utt2spk"))
    tables = {path.name: read_table(path) for path in new.iterdir() if path.is_file()}
    prefixes = ("aug1-", "aug2-", "voice1-")
    expected = names + [prefix + name for prefix in prefixes for name in names]
    assert set(tables["utt2spk"]) == set(expected)
    one = f"voice1-{names[0]}"
    assert tables["utt2spk"][one] == "voice1-s1"
    assert tables["utt2uniq"][one] == tables["utt2uniq"][names[0]] == names[0]
    assert tables["text"][one] == f"words of {names[0]}"
    assert tables["spk2gender"]["aug2-s2"] == "m"
    assert ("segments" in tables) == segments
    before, after = (dict(DataAudio(folder, RATE).read()) for folder in (data, new))
    for name in names:
        np.testing.assert_array_equal(after[name], before[name])
        for copy in ("aug1-", "aug2-"):
            assert len(after[copy + name]) == pytest.approx(len(before[name]), abs=RATE // 100)
        assert not np.array_equal(after["aug1-" + name], after["aug2-" + name])


def test_kaldi_takes_the_data_directory(tmp_path, kaldi):
    data, new = write_two_speakers(tmp_path / "data", segments=True), tmp_path / "new"
    augment(data, new)
    utils = kaldi / "egs/wsj/s5/utils"
    command = [utils / "validate_data_dir.sh", "--no-feats", new]
    done = run("bash", *command, cwd=utils.parent, PATH="/usr/bin:/bin", LC_ALL="C")
    assert done.returncode == 0, done.stdout + done.stderr


def test_copies_depend_on_the_seed_and_on_nothing_else():
    def copies(seed: int = 1, **counts) -> dict:
        return dict(copies_of("u", "r", tone(700, 0.5), counts, Channels(), seed))

    one, more, other = copies(aug=1), copies(aug=2, voice=1), copies(seed=2, aug=1)
    assert list(more) == ["aug1-u", "aug2-u", "voice1-u"]
    np.testing.assert_array_equal(one["aug1-u"], more["aug1-u"])
    assert not np.array_equal(more["aug1-u"], more["aug2-u"])
    assert not np.array_equal(one["aug1-u"], other["aug1-u"])


def test_a_recording_has_one_other_voice(tmp_path):
    data, new = write_two_speakers(tmp_path / "data", segments=True), tmp_path / "new"
    augment(data, new, "--copies", 0, "--voices", 1)
    audio = dict(DataAudio(new, RATE).read())
    factors = {n: len(audio[n]) / len(audio[f"voice1-{n}"]) for n in ("s1-a-1", "s1-a-2", "s2-b-1")}
    assert factors["s1-a-1"] == pytest.approx(factors["s1-a-2"], abs=0.01)
    assert factors["s1-a-1"] != pytest.approx(factors["s2-b-1"], abs=0.01)


def test_a_voice_has_another_pitch_and_other_formants(monkeypatch):
    rng = np.random.default_rng(0)
    pulses = np.zeros(2 * RATE)
    pulses[:: RATE // 100] = 1.0  # 100 Hz
    distance = np.arange(-200, 200) / RATE
    formant = np.exp(-((distance * 400) ** 2)) * np.cos(2 * np.pi * 1500 * distance)
    speech = 0.3 * np.convolve(pulses, formant, "same")

    def peaks(samples: np.ndarray) -> tuple[float, float]:
        """Distance of the harmonics, and the centre of their energy, in Hz."""
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 4 * RATE)) ** 2
        repeats = np.fft.irfft(spectrum)[RATE // 200 : RATE // 60].argmax() + RATE // 200
        return RATE / repeats, (np.arange(len(spectrum)) / 4 @ spectrum) / spectrum.sum()

    assert peaks(speech) == pytest.approx((100, 1500), rel=0.02)
    monkeypatch.setattr(augmentation, "SPEEDS", (1.15, 1.15))
    monkeypatch.setattr(augmentation, "FORMANTS", (0.9, 0.9))
    made = other_voice(speech, rng)
    assert peaks(made) == pytest.approx((115, 1350), rel=0.03)
    assert len(made) == pytest.approx(len(speech) / 1.15, abs=512)


@pytest.mark.parametrize("part", list(SILENT))
def test_each_part_changes_the_sound(part):
    speech = tone(700, 1.5) * np.repeat([1, 0.1, 1], RATE // 2) + 0.1 * tone(5000, 1.5)
    rng = np.random.default_rng(0)
    plain = other_channel(speech, Channels(**SILENT), rng)
    assert np.corrcoef(plain, speech)[0, 1] == pytest.approx(1), "another level alone"
    for seed in range(6):
        rng = np.random.default_rng(seed)
        made = other_channel(speech, Channels(**SILENT | {part: 1.0}), rng)
        assert made.shape == speech.shape
        assert np.isfinite(made).all()
        assert np.abs(made).max() <= 1
        assert np.corrcoef(made, speech)[0, 1] < 0.99999


def test_noise_is_as_loud_as_asked_for():
    speech = tone(700, 2)
    settings = SILENT | {"noise": 1.0, "snr_least": 10.0, "snr_most": 10.0}
    made = other_channel(speech, Channels(**settings), np.random.default_rng(0))
    explained = np.corrcoef(made, speech)[0, 1] ** 2
    assert 10 * np.log10(explained / (1 - explained)) == pytest.approx(10, abs=1)


@pytest.mark.parametrize("number", range(len(augmentation.CODECS)))
def test_codecs_keep_time_and_telephone_band(monkeypatch, number):
    monkeypatch.setattr(augmentation, "CODECS", augmentation.CODECS[number : number + 1])
    speech = 0.3 * tone(700, 1) * np.linspace(0, 1, RATE)
    made = augmentation.coded(speech, np.random.default_rng(0))
    assert len(made) == len(speech)
    assert np.corrcoef(np.abs(made), np.abs(speech))[0, 1] > 0.5


def test_silence_and_very_short_audio(tmp_path):
    for samples in (np.zeros(RATE), np.full(40, 0.1)):
        for seed in range(8):
            rng = np.random.default_rng(seed)
            everything = Channels(**dict.fromkeys(SILENT, 1.0))
            assert np.isfinite(other_channel(samples, everything, rng)).all()
            assert np.isfinite(other_voice(samples, rng)).all()


def test_audio_that_cannot_be_decoded_has_no_copies(tmp_path, capsys):
    data = write_two_speakers(tmp_path / "data", segments=False)
    (data / "s1-a.wav").write_text("no audio")
    augment(data, tmp_path / "new")
    said = capsys.readouterr().out
    assert "WARNING: no copies" in said
    assert "1 utterances cannot be decoded" in said
    assert list(read_table(tmp_path / "new/utt2spk")) == ["aug1-s2-b", "s1-a", "s2-b"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("nois: 0.5", "unknown setting 'nois'"),
        ("noise: 1.5", "noise takes a finite number, at least 0 and at most 1"),
        ("snr_least: 40", "snr_least is above snr_most"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, lines, said):
    (tmp_path / "augment.yaml").write_text(lines + "\n")
    data = write_two_speakers(tmp_path / "data", segments=False)
    options = ["--utterances", data / "utt2spk", "--audio", tmp_path, "--made", tmp_path / "made"]
    options += ["--data", data, "--config", tmp_path / "augment.yaml"]
    assert said in call_fails("augment_data", "audio", *options)


def test_copies_belong_to_the_recording_and_keep_the_voice(tmp_path):
    """Names of our steps, and of Kaldi's reverberate_data_dir.py and copy_data_dir.sh."""
    copies = ["aug1-a-1", "voice1-a-1", "sp0.9-a-1", "rvb1_a-1", "a-1-noise", "aug1-sp1.1-a-1"]
    write_table(tmp_path / "segments", {"a-1": "a 0 1", "a-2": "a 1 2", "voice1-x": "voice1-x 0 1"})
    write_table(tmp_path / "utt2uniq", dict.fromkeys(["a-1", *copies], "a-1"))
    utterances = ["a-1", "a-2", *copies, "voice1-x", "aug3-x"]
    expected = ["a"] * 8 + ["voice1-x", "aug3-x"]
    assert recordings_of(utterances, tmp_path) == expected, "names alone do not make a copy"
    same_voice = ["a-1", "a-2", "a-1", *copies[1:5], "sp1.1-a-1", "voice1-x", "aug3-x"]
    assert unaugmented(utterances, tmp_path) == same_voice


def test_copies_stay_with_their_originals_through_import(tmp_path):
    """A corpus with copies is imported: no copy is held out from its original."""
    data, new, out = (
        write_two_speakers(tmp_path / "data", segments=False),
        tmp_path / "new",
        "imported",
    )
    augment(data, new, "--copies", 2, "--voices", 1)
    done = run(STEPS / "import_corpus.sh", new, out, cwd=tmp_path, KALDI_ROOT="")
    assert done.returncode == 0, done.stderr
    utterances = list(read_table(tmp_path / out / "utt2spk"))
    names = set(read_table(data / "utt2spk"))
    assert len(utterances) == 4 * len(names)
    assert set(recordings_of(utterances, tmp_path / out)) == names
    assert sorted(unaugmented(utterances, tmp_path / out)).count("s1-a") == 3
    again = run(STEPS / "import_corpus.sh", new, out, cwd=tmp_path, KALDI_ROOT="")
    assert "complete already" in again.stdout
    write_table(new / "utt2uniq", {u: u for u in utterances})
    other = run(STEPS / "import_corpus.sh", new, out, cwd=tmp_path, KALDI_ROOT="")
    assert other.returncode == 1
    assert "made otherwise" in other.stderr


def test_a_speeds_prefix_is_kaldis_and_utt2uniq_comes_first(tmp_path):
    names = ["sp001-a", "sp002-a", "sp0.9-a", "sp1.1-a", "sp1.1-", "sp0.9-talk"]
    without_table = ["sp001-a", "sp002-a", "a", "a", "sp1.1-", "talk"]
    assert recordings_of(names, tmp_path) == without_table
    write_table(tmp_path / "utt2uniq", {"sp0.9-talk": "sp0.9-talk", "sp001-a": "a"})
    assert recordings_of(names, tmp_path) == ["a", *without_table[1:5], "sp0.9-talk"]
