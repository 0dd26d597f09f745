"""Kaldi's text tables: one line an entry, a key and the rest (wav.scp, utt2spk, feats.scp).

Source: Kaldi's `utils/validate_data_dir.sh`, which says what Kaldi accepts.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from unspeech.errors import UnspeechError


@contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a file for writing that appears under its name only when it is complete.

    The file is written beside `path` and renamed when the block ends without an exception;
    otherwise it is removed and an older file of that name stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        os.fchmod(handle, 0o666 & ~_umask())
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_table(path: str | Path) -> dict[str, str]:
    """Read a table as {key: rest of the line}, in the file's order.

    Raises:
        UnspeechError: when the file is missing or empty, a line has no value, or a key
            occurs twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UnspeechError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise UnspeechError(f"{path}: not a text file in UTF-8") from None
    table: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split(maxsplit=1)
        if len(fields) != 2:
            raise UnspeechError(f"{path}:{number}: expected '<key> <value>', found '{line}'")
        key, value = fields
        if key in table:
            raise UnspeechError(f"{path}:{number}: '{key}' occurs twice; remove one of the lines")
        table[key] = value.strip()
    if not table:
        raise UnspeechError(f"{path}: the file is empty")
    return table


def write_table(path: str | Path, table: Mapping[str, object]) -> None:
    """Write {key: value} sorted by key in the C locale, as Kaldi wants it."""
    with atomic_write(path) as file:
        for key in sorted(table, key=str.encode):
            file.write(f"{key} {table[key]}\n")


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
