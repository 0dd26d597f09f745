"""Alignments of units (phones, words) with utterances, from CTM files."""

from pathlib import Path
from typing import NamedTuple

from unspeech.cli.errors import UnspeechError
from unspeech.files.text import read_lines

FRAMES_A_SECOND = 100
ROUNDING = 1e-3  # frames; a CTM's times are decimal fractions that a float may fall short of


class Unit(NamedTuple):
    """A unit and the frames that it covers, `end` not included."""

    start: int
    end: int
    name: str


def read_ctm(path: str | Path) -> dict[str, list[Unit]]:
    """Read `<utterance> <channel> <start> <duration> <unit>` lines, times in seconds.

    Returns: {utterance: units in the file's order}.
    Raises:
        UnspeechError: when the file cannot be read, or a line is not of that form.
    """
    alignments: dict[str, list[Unit]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        try:
            utterance, _, start, duration, name = line.split()[:5]
            first = int(float(start) * FRAMES_A_SECOND + ROUNDING)
            frames = int(float(duration) * FRAMES_A_SECOND + ROUNDING)
            if first < 0 or frames < 0:
                raise ValueError
        except (ValueError, OverflowError):
            raise UnspeechError(
                f"{path}:{number}: expected '<utterance> <channel> <start> <duration> <unit>', "
                f"found '{line}'"
            ) from None
        alignments.setdefault(utterance, []).append(Unit(first, first + frames, name))
    return alignments
