"""Kaldi's text tables: one line an entry, a key and the rest (wav.scp, utt2spk, feats.scp).

Source: Kaldi's `utils/validate_data_dir.sh`, which says what Kaldi accepts.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from unspeech.cli.errors import UnspeechError
from unspeech.files.atomic import atomic_write
from unspeech.files.text import read_lines


def read_table(path: str | Path, empty_values: bool = False) -> dict[str, str]:
    """Read a table as {key: rest of the line}, in the file's order.

    As in Kaldi, lines end with a line feed alone, and fields are parted by ASCII white space
    alone: a transcript may hold any other characters.

    Args:
        empty_values: whether a line may be a key alone, as in `text`.
    Raises:
        UnspeechError: when the file cannot be read as text (see `read_text`) or is empty, a line
            is empty or has no value, or a key occurs twice or holds white space that is not ASCII.
    """
    table: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.encode().split(None, 1)  # bytes are parted at ASCII white space alone
        if not fields:
            raise UnspeechError(f"{path}:{number}: an empty line; remove it")
        if len(fields) == 1 and not empty_values:
            raise UnspeechError(f"{path}:{number}: expected '<key> <value>', found '{line}'")
        key = fields[0].decode()
        if key in table:
            raise UnspeechError(f"{path}:{number}: '{key}' occurs twice; remove one of the lines")
        table[key] = fields[1].rstrip().decode() if len(fields) == 2 else ""
    if not table:
        raise UnspeechError(f"{path}: the file is empty")
    if len(" ".join(table).split()) != len(table):
        key = next(key for key in table if len(key.split()) != 1)
        spaces = ", ".join(f"U+{ord(c):04X}" for c in key if c.isspace())
        raise UnspeechError(
            f"{path}: '{key}': a name with white space that is not ASCII ({spaces}); rename it"
        )
    return table


def write_table(path: str | Path, table: Mapping[str, object]) -> None:
    """Write {key: value} sorted by key in the C locale, as Kaldi wants it.

    Raises:
        UnspeechError: naming a key or value that `read_table` would read as something else.
    """
    with atomic_write(path) as file:
        for key in sorted(table):  # code points sort as their bytes in UTF-8 do
            line = f"{key} {table[key]}"
            if "\n" in line or len(key.split()) != 1:
                raise UnspeechError(
                    f"{path}: {key!r}: white space in this name, or a line feed in its value "
                    f"{str(table[key])!r:.80}; rename it"
                )
            try:
                file.write(line + "\n")
            except UnicodeEncodeError:
                raise UnspeechError(f"{path}: {line!r}: not in UTF-8; rename it") from None


def invert(utt2spk: Mapping[str, str]) -> dict[str, str]:
    """Turn utt2spk into spk2utt: {speaker: 'utterance utterance …'}, utterances sorted."""
    groups: dict[str, list[str]] = {}
    for utterance in sorted(utt2spk, key=str.encode):
        groups.setdefault(utt2spk[utterance], []).append(utterance)
    return {speaker: " ".join(utterances) for speaker, utterances in groups.items()}


def utt2spk_of(spk2utt: Mapping[str, str]) -> dict[str, str]:
    """Turn spk2utt into utt2spk: {utterance: speaker}."""
    return {name: speaker for speaker, names in spk2utt.items() for name in names.split()}


def speakers_of(utterances: Iterable[str], utt2spk_path: str | Path) -> list[str]:
    """Look up each utterance's speaker.

    Raises:
        UnspeechError: naming the first utterance that `utt2spk_path` lacks.
    """
    utt2spk = read_table(utt2spk_path)
    speakers = []
    for utterance in utterances:
        if utterance not in utt2spk:
            raise UnspeechError(
                f"{utt2spk_path}: no speaker for utterance '{utterance}'; add a line for it"
            )
        speakers.append(utt2spk[utterance])
    return speakers
