"""Which utterances of a data directory are copies of others, and what they are copies of.

`utt2uniq` says it, as Kaldi's scripts and ours write it. For an utterance that it lacks, the name
tells: a copy at another speed begins with `sp0.9-`, `sp1.1-` and so on.
Source: Kaldi's `utils/data/perturb_data_dir_speed.sh`, `steps/data/augment_data_dir.py`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from unspeech.kaldi.tables import read_table

_SPEED = re.compile(r"sp\d+\.\d+-(?=.)")  # the factor as Kaldi's scripts write it, with a point


def without_speed(name: str) -> str:
    """The name that a recording or utterance has without the prefix of a speed."""
    match = _SPEED.match(name)
    return name[match.end() :] if match else name


def read_originals(data: str | Path) -> dict[str, str]:
    """Read `utt2uniq` of a data directory: {utterance: original}; empty where there is none."""
    path = Path(data) / "utt2uniq"
    return read_table(path) if path.is_file() else {}


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
