"""Command-line options of the programs, as a Kaldi user expects them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from unspeech.cli.errors import UnspeechError

# What the original's option parser takes for true and false.
BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
ANSWERS = Path(__file__).with_name("original_options.tsv")  # read by parse_options.sh, too


class OptionParser(argparse.ArgumentParser):
    """An argument parser that takes `-` and `_` alike and ends wrong use with exit status 1.

    As the original's, it takes `--noNAME` for `--NAME=false`, and 1 and 0 for true and false. An
    unknown option that the original had, or the beginning of a known one, is answered with what it
    is here.

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
        known = [known for word in words for known in self._known(word)]
        return super().parse_known_args(known, namespace)

    def _known(self, word: str) -> list[str]:
        """A word of the command line as argparse knows it; none for a flag that is not set."""
        if not word.startswith("--"):
            return [word]
        name, equals, value = word.partition("=")
        name = name.replace("_", "-")
        action = self._option_string_actions.get(name)
        if action is None and name.startswith("--no"):
            action = self._option_string_actions.get("--" + name[4:].removeprefix("-"))
            if action and _is_boolean(action) and not equals:
                name, equals, value = action.option_strings[-1], "=", "false"
        if isinstance(action, argparse._StoreTrueAction) and value.lower() in BOOLEANS:
            return [name] if BOOLEANS[value.lower()] else []
        return [name + equals + value]

    def parse_args(self, args: Sequence[str] | None = None, namespace=None):
        words = sys.argv[1:] if args is None else args
        options = [self._known(word)[:1] for word in words if word.startswith("--")]
        for option in (option[0].partition("=")[0] for option in options if option):
            if option not in self._option_string_actions and option != "--":
                self.error(f"unknown option {option}{self._answer(option)}")
        return super().parse_args(args, namespace)

    def _answer(self, option: str) -> str:
        longer = [name for name in self._option_string_actions if name.startswith(option)]
        if len(longer) == 1:
            return f": it is {longer[0]} here"
        lines = ANSWERS.read_text(encoding="utf-8").splitlines()
        answers = dict(line.split("\t") for line in lines)
        names = [option[2:], option[4:].removeprefix("-") if option.startswith("--no") else ""]
        found = [answers[n] for n in (name.replace("-", "_") for name in names) if n in answers]
        return f", of the original: {found[0]}" if found else ""

    def error(self, message: str):
        raise UnspeechError(f"{message}; see --help")


def _is_boolean(action: argparse.Action) -> bool:
    return action.const in (True, "true") or set(action.choices or []) == {"true", "false"}
