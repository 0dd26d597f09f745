"""Copies of every utterance at 0.9 and 1.1 times its speed.

The files are those of Kaldi's `utils/data/perturb_data_dir_speed_3way.sh`: names of copies begin
with `sp0.9-` and `sp1.1-`, entries of wav.scp are pipes to sox, for Kaldi's programs. Our own do
what such a pipe says without sox (`utterances`).
"""

import argparse
import shlex
from pathlib import Path

from unspeech.audio.corpus import read_data_dir, say_left_out
from unspeech.audio.recordings import is_pipe, parse_entry
from unspeech.cli.errors import UnspeechError
from unspeech.cli.limits import Number
from unspeech.files.names import check_new
from unspeech.files.text import is_there
from unspeech.kaldi.data_dir import FEATURES, OF_RECORDINGS, OF_SPEAKERS, Tables, new_data_dir
from unspeech.kaldi.tables import invert, write_table

SPEEDS = ("0.9", "1.1")
_SHORTEST = 0.01  # seconds; a segment that is not longer has no copy
_LEFT_OUT = (*FEATURES, "utt2warp", "spk2warp")  # of the speech as it was


def perturb(tables: Tables, speed: str) -> Tables:
    """The tables of the copies at one speed, without those of features.

    Args:
        tables: of a data directory, with `wav.scp` and `utt2spk`.
        speed: factor, as it stands in the copies' names.
    Source: Kaldi's `utils/data/perturb_data_dir_speed.sh`.
    """
    prefix, factor = f"sp{speed}-", float(speed)

    def segment(value: str) -> str | None:
        recording, first, last, *channel = value.split()
        start, end = float(first) / factor, float(last) / factor
        if 0 <= end <= start + _SHORTEST:
            return None
        times = [f"{start:.2f}", f"{end:.2f}" if end >= 0 else "-1"]  # -1: the recording's end
        return " ".join([prefix + recording, *times, *channel])

    def audio(value: str) -> str:
        if is_pipe(value):
            value = value.rstrip("| ") + " | sox -t wav -"
        elif parse_entry(value).offset is not None:
            value = f"wav-copy {value} - | sox -t wav -"
        elif value.lower().endswith(".wav"):
            value = f"sox -t wav {shlex.quote(value)}"
        else:
            value = f"sox {shlex.quote(value)}"
        return f"{value} -t wav - speed {speed} |"

    def duration(value: str) -> str:
        return f"{float(value) / factor:g}"

    change = {
        "wav.scp": audio,
        "segments": segment,
        "utt2spk": lambda speaker: prefix + speaker,
        "utt2dur": duration,
        "reco2dur": duration,
    }
    copies: Tables = {}
    for name, table in tables.items():
        if name not in _LEFT_OUT:
            changed = {key: change.get(name, str)(value) for key, value in table.items()}
            copies[name] = {
                prefix + key: value for key, value in changed.items() if value is not None
            }
    return copies


def _check_durations(tables: Tables, data: Path) -> None:
    for name in ("utt2dur", "reco2dur"):
        for key, value in tables.get(name, {}).items():
            try:
                Number(float, "[0, inf)")(value)
            except argparse.ArgumentTypeError:
                raise UnspeechError(
                    f"{data / name}: '{key}': '{value}' is no time in seconds"
                ) from None


def make_perturbed_data_dir(data: Path, out: Path, replace: bool = False) -> None:
    """Write a data directory with all utterances and their copies.

    Raises:
        UnspeechError: when there is no audio, a table is malformed, or a copy would have the name
            of another utterance.
    """
    if not is_there(data / "wav.scp"):
        raise UnspeechError(f"{data / 'wav.scp'}: no such file; speed is changed in audio")
    tables, left_out = read_data_dir(data, features=False)
    say_left_out(left_out)
    _check_durations(tables, data)
    utterances = tables["utt2spk"]
    tables.setdefault("utt2uniq", {utterance: utterance for utterance in utterances})
    for name in ("utt2spk", "wav.scp"):
        check_new(
            tables[name], [f"sp{speed}-{u}" for speed in SPEEDS for u in tables[name]], data / name
        )
    copies = [perturb(tables, speed) for speed in SPEEDS]
    joined = {name: tables[name] | copies[0][name] | copies[1][name] for name in copies[0]}
    if "segments" in joined:  # a copy may be too short for one; a recording may have none
        recordings = {value.split()[0] for value in joined["segments"].values()}
        for name, table in joined.items():
            if name not in OF_SPEAKERS:
                of_recordings = name in (*OF_RECORDINGS, "wav.scp")
                known = recordings if of_recordings else joined["segments"]
                joined[name] = {key: value for key, value in table.items() if key in known}
    joined["spk2utt"] = invert(joined["utt2spk"])
    with new_data_dir(out, replace) as part:
        for name, table in joined.items():
            write_table(part / name, table)
    print(f"{out}: {len(joined['utt2spk'])} utterances, of {len(utterances)} of {data}")
