"""Numbers that users give: each of one type, finite, and within limits that are declared once.

parser.add_argument("--weight", type=Number(float, "(0, 1]"), default=0.5)
"""

import argparse
import math
import re
from dataclasses import dataclass

LARGEST = 2**31 - 1  # integer that numpy, TensorFlow and Kaldi all take


@dataclass(frozen=True)
class Number:
    """The numbers that an option or a setting takes; called with a text, it is argparse's `type`.

    Attributes:
        kind: int or float.
        limits: an interval, `[1, 10]` with its ends, `(0, inf)` without. Integers end at
            2147483647, whatever it says.
        special: one more number, which stands for something else, such as -1 for no limit.
    """

    kind: type
    limits: str = "(-inf, inf)"
    special: int | None = None

    def __call__(self, text: str) -> int | float:
        """The number that a text says.

        Raises:
            argparse.ArgumentTypeError: with the words that follow the name of an option.
        """
        text = str(text).strip()
        value = math.nan
        if (_INTEGER if self.kind is int else _REAL).fullmatch(text):
            value = self.kind(text)
        if value != self.special and not self._holds(value):
            raise argparse.ArgumentTypeError(f"takes {self.describe()}, not '{text:.40}'")
        return value

    def _ends(self) -> tuple[float, float]:
        low, high = map(float, self.limits[1:-1].split(","))
        return (max(low, -LARGEST), min(high, LARGEST)) if self.kind is int else (low, high)

    def _holds(self, value: float) -> bool:
        low, high = self._ends()
        above = value > low or (value == low and self.limits[0] == "[")
        below = value < high or (value == high and (self.limits[-1] == "]" or high == LARGEST))
        return above and below and abs(value) < math.inf

    def describe(self) -> str:
        """What it takes, in words."""
        low, high = self._ends()
        words = [f"{'at least' if self.limits[0] == '[' else 'more than'} {low:.10g}"]
        words += [f"{'at most' if self.limits[-1] == ']' else 'less than'} {high:.10g}"]
        words = [word for word, end in zip(words, (low, high), strict=True) if abs(end) < LARGEST]
        article = "an integer" if self.kind is int else "a finite number"
        said = f"{article}{', ' if words else ''}{' and '.join(words)}"
        return said if self.special is None else f"{said}, or {self.special}"


_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")

SEED = Number(int, "[0, inf)")
COUNT = Number(int, "[1, inf)")
