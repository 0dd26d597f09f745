"""Names made of other names, checked to be unique before anything is written under them."""

from collections.abc import Iterable
from pathlib import Path

from unspeech.cli.errors import UnspeechError
from unspeech.files.text import LONGEST_NAME


def check_unique(names: Iterable[tuple[str, str]], what: str, where: str | Path) -> None:
    """Refuse new names that two things would share.

    Args:
        names: (old name, new name) each.
        what: what the new name is, for the message: "utterance", "file".
        where: the input that the old names are from.
    Raises:
        UnspeechError: naming the two.
    """
    owners: dict[str, str] = {}
    for old, new in names:
        if new in owners and owners[new] != old:
            raise UnspeechError(
                f"{where}: '{owners[new]}' and '{old}' would both become {what} '{new}'; rename one"
            )
        owners[new] = old


def check_new(names: Iterable[str], copies: Iterable[str], where: str | Path) -> None:
    """Refuse copies that would have the names of others.

    Args:
        names: that are there.
        copies: that will be.
        where: the input that both are from.
    Raises:
        UnspeechError: naming the first such copy.
    """
    taken = set(names).intersection(copies)
    if taken:
        raise UnspeechError(
            f"{where}: '{min(taken)}' would be the name of a copy, too; rename it, or make copies "
            "of the originals alone"
        )


def file_names(names: Iterable[str], ending: str, where: str | Path) -> dict[str, str]:
    """Name a file for each utterance or speaker: as itself, with `-` for `/`.

    Returns: {name: file name}.
    Raises:
        UnspeechError: when two would share a file, or a name is too long for one.
    """
    files = {name: f"{name.replace('/', '-')}{ending}" for name in names}
    for name, file in files.items():
        if len(file.encode()) > LONGEST_NAME:
            raise UnspeechError(
                f"{where}: '{name:.40}…' has {len(name.encode())} bytes, too many for a file's "
                "name; give it a shorter one"
            )
    check_unique(files.items(), "file", where)
    return files
