"""Command-line options of the programs, as a Kaldi user expects them."""

import argparse
import sys
from collections.abc import Sequence

from unspeech.errors import UnspeechError


class OptionParser(argparse.ArgumentParser):
    """An argument parser that takes `-` and `_` alike and ends wrong use with exit status 1.

    Args:
        description: the module's docstring, shown as it stands by `--help`.
    """

    def __init__(self, description: str) -> None:
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def parse_known_args(self, args: Sequence[str] | None = None, namespace=None):
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([_with_dashes(word) for word in words], namespace)

    def error(self, message: str):
        raise UnspeechError(f"{message}; see --help")


def _with_dashes(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value
