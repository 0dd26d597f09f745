"""Which utterances of a data directory are copies of others, and what they are copies of.

`utt2uniq` says it, as Kaldi's scripts and ours write it. For an utterance that it lacks, the name
tells: a copy at another speed begins with `sp0.9-`, `sp1.1-` and so on.
Source: Kaldi's `utils/data/perturb_data_dir_speed.sh`, `steps/data/augment_data_dir.py`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from unspeech.files.text import is_there
from unspeech.kaldi.tables import read_table

_AUGMENTED = re.compile(r"^aug[0-9]+-")
_SPEED = re.compile(r"sp\d+\.\d+-(?=.)")  # the factor as Kaldi's scripts write it, with a point


def without_speed(name: str) -> str:
    """The name that a recording or utterance has without the prefix of a speed."""
    match = _SPEED.match(name)
    return name[match.end() :] if match else name


def read_originals(data: str | Path) -> dict[str, str]:
    """Read `utt2uniq` of a data directory: {utterance: original}; empty where there is none."""
    path = Path(data) / "utt2uniq"
    return read_table(path) if is_there(path) else {}


def original_of(utterance: str, originals: Mapping[str, str]) -> str:
    """What an utterance is a copy of: itself if it is none.

    Args:
        originals: of `read_originals`.
    """
    return originals[utterance] if utterance in originals else without_speed(utterance)


def affixes(copy: str, original: str) -> tuple[str, str] | None:
    """What a copy's name has before and after its original's: ("aug1-", ""), ("", "-noise").

    Returns: None when the original's name is not in it.
    """
    if copy.endswith(original):
        return copy.removesuffix(original), ""
    before, found, after = copy.partition(original)
    return (before, after) if found else None


def recordings_of(utterances: list[str], data: str | Path) -> list[str]:
    """Name the recording of each utterance: from `segments` where there is one, else its own.

    A copy belongs to the recording that it was made from.
    """
    (segments,) = _tables(data, "segments")
    originals = read_originals(data)
    return [_recording_of(u, original_of(u, originals), segments) for u in utterances]


def _recording_of(utterance: str, original: str, segments: Mapping[str, str]) -> str:
    if original in segments or original == utterance:
        return segments.get(original, original).split()[0]
    # A data directory may hold copies without their originals.
    recording = segments.get(utterance, utterance).split()[0]
    return original if recording == utterance else without_speed(recording)


def unaugmented(utterances: list[str], data: str | Path) -> list[str]:
    """Name what each utterance is a copy of in the same voice (`aug1-…`), else itself."""
    originals = read_originals(data)
    return [_AUGMENTED.sub("", u) if originals.get(u, u) != u else u for u in utterances]


def _tables(data: str | Path, *names: str) -> list[dict[str, str]]:
    paths = [Path(data) / name for name in names]
    return [read_table(path) if is_there(path) else {} for path in paths]


def contexts_of(utterances: list[str], data: str | Path) -> list[str]:
    """Name the recording, or the channel of one, whose context each utterance shares.

    A copy with other noise or in another room shares that of its original; one at another speed is
    another voice, and shares that of its own recording. The sides of a call are two contexts.
    """
    (segments,) = _tables(data, "segments")
    contexts = []
    for utterance, original in zip(utterances, unaugmented(utterances, data), strict=True):
        known = original if original in segments else utterance
        recording, *times_and_channel = segments.get(known, known).split()
        if known != original:  # a data directory may hold copies without their originals
            recording = original if recording == utterance else _AUGMENTED.sub("", recording)
        contexts.append(" ".join([recording, *times_and_channel[2:]]))
    return contexts
