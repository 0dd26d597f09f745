"""Made-up data of Kaldi recipes, as they leave it for run.sh."""

import os
import shutil
from pathlib import Path

import numpy as np
import soundfile

from helpers.data import RATE
from unspeech.kaldi.tables import invert, read_table, write_table

SPEEDS = {"": 1.0, "sp0.9-": 0.9, "sp1.1-": 1.1}
TED, LIBRI = "tedlium/s5_r3", "mini_librispeech/s5"
TRAIN = {TED: "train_cleaned", LIBRI: "train_clean_5"}
TEST = {TED: ["dev", "test"], LIBRI: ["dev_clean_2"]}
GMM = {TED: "tri3_cleaned", LIBRI: "tri3b"}
IVECTORS = "exp/nnet3_unspeech/ivectors_{}_hires"


def speech(person: int) -> list[np.ndarray]:
    """Four utterances of a person, (samples,) float at 16 kHz."""
    corpus = Path(os.environ.get("UNSPEECH_CORPORA") or "/nonexistent", "emodb")
    if corpus.is_dir():
        files, speakers = read_table(corpus / "wav.scp"), read_table(corpus / "utt2spk")
        own = invert(speakers)[sorted(set(speakers.values()))[person]].split()[:4]
        return [soundfile.read(corpus / files[utterance])[0] for utterance in own]
    rng = np.random.default_rng(person)
    times = [np.arange(n) / RATE for n in (RATE * rng.uniform(1.5, 2.5, 4)).astype(int)]
    voice = [0.1 * np.sign(np.sin(2 * np.pi * 90 * 1.2**person * time)) for time in times]
    return [tone + 0.01 * rng.normal(size=len(tone)) for tone in voice]


def write_set(recipe: Path, name: str, persons: range, speeds: dict[str, float]) -> None:
    """A data directory and its _hires, as the recipe leaves them; the features are not for us.

    TED-LIUM: a recording is a talk, cut into utterances, by speakers of some minutes.
    LibriSpeech: a recording is an utterance, by speakers of a chapter.
    """
    wav, segments, utt2spk = {}, {}, {}
    (recipe / "db").mkdir(exist_ok=True)
    for person in persons:
        utterances = speech(person)
        speakers = [f"lbi-{person}-{number // 3}" for number in range(4)]
        names = [f"{speaker}-{number:04d}" for number, speaker in enumerate(speakers)]
        audio = dict(zip(names, utterances, strict=True))
        if recipe.parent.name == "tedlium":
            speakers = [f"Talk{person}-{number // 3 + 1}" for number in range(4)]
            speakers[3] = speakers[3] if person else "Talk0-0000117-0000180"
            names = [f"{speaker}-{number:07d}" for number, speaker in enumerate(speakers)]
            audio = {f"Talk{person}": np.concatenate(utterances)}
        for recording, samples in audio.items():
            soundfile.write(recipe / f"db/{recording}.wav", samples, RATE)
        ends = np.cumsum([len(samples) / RATE for samples in utterances]) - 0.01
        for prefix, speed in speeds.items():
            for recording in audio:
                change = f" sox -t wav - -t wav - speed {speed} |" if prefix else ""
                wav[prefix + recording] = f"cat db/{recording}.wav |{change}"
            for utterance, speaker, start, end in zip(
                names, speakers, [0, *ends], ends, strict=False
            ):
                utt2spk[prefix + utterance] = prefix + speaker
                times = f"{start / speed:.2f} {end / speed:.2f}"
                segments[prefix + utterance] = f"{prefix}Talk{person} {times}"
    data = recipe / "data" / name
    write_table(data / "wav.scp", wav)
    if recipe.parent.name == "tedlium":
        write_table(data / "segments", segments)
    write_table(data / "utt2spk", utt2spk)
    write_table(data / "spk2utt", invert(utt2spk))
    write_table(data / "text", dict.fromkeys(utt2spk, "words"))
    write_table(data / "feats.scp", {u: f"mfcc.ark:{n}" for n, u in enumerate(utt2spk)})
    shutil.copytree(data, f"{data}_hires")


def make_recipe(recipe: Path) -> None:
    """A recipe's directory before its run_tdnn.sh; Kaldi's own, by links, where there is one."""
    name = f"{recipe.parent.name}/{recipe.name}"
    (recipe / "exp").mkdir(parents=True)
    write_set(recipe, TRAIN[name], range(4), {"": 1.0})
    for number, test in enumerate(TEST[name]):
        write_set(recipe, test, range(4 + number, 6 + number), {"": 1.0})
    kaldi = Path(os.environ.get("KALDI_ROOT") or "/nonexistent") / "egs" / name
    for part in kaldi.iterdir() if kaldi.is_dir() else ():
        (recipe / part.name).symlink_to(part)
