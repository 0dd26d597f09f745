"""Which tables a Kaldi data directory may hold, and what their keys are.

Source: Kaldi's `utils/fix_data_dir.sh` and `utils/copy_data_dir.sh`.
"""

import argparse
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unspeech.cli.errors import UnspeechError
from unspeech.files.atomic import make_directory
from unspeech.kaldi.tables import read_table, write_table

FEATURES = ("feats.scp", "vad.scp", "utt2num_frames")  # by utterance, of its features
OF_UTTERANCES = ("text", "utt2dur", "utt2lang", "utt2uniq", "utt2warp")
OF_RECORDINGS = ("reco2dur", "reco2file_and_channel")  # of utterances where there is no `segments`
OF_SPEAKERS = ("spk2gender", "spk2warp")
UNCHANGED = ("frame_shift", "stm", "glm", "ctm")  # not tables, or not by these names
_MADE = ".made_by_corpus"  # digests of the files as we made them; later steps add and change files
_REPLACING = ".replacing"  # among them while they are being replaced
Tables = dict[str, dict[str, str]]  # {name of the file: {key: value}}
LeftOut = dict[str, list[str]]  # {what they are: names of utterances or files}


@contextmanager
def new_data_dir(out: Path, replace: bool = False) -> Iterator[Path]:
    """A directory to fill, which gets the name `out` when the block ends without an exception.

    If the same files were put at `out` before, they stay, with what later steps added; those that
    are gone are put back.
    Args:
        replace: whether the files that were put at `out` before give way to the new ones, when
            they are complete. Others in it stay.
    Raises:
        UnspeechError: when `out` holds anything else.
    """
    given, out = out, Path(os.path.realpath(out))  # what a link names may be on another disk
    make_directory(out.parent)
    part = out.parent / f".{out.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        files = [path for path in part.rglob("*") if path.is_file()]
        digests = {str(path.relative_to(part)): _digest(path) for path in files}
        write_table(part / _MADE, digests)
        if not out.exists() or not any(out.iterdir()):
            os.replace(part, out)
            return
        old = read_table(out / _MADE) if (out / _MADE).exists() else {}
        if old == digests:
            for name, digest in digests.items():
                if not _is_there(out / name, digest) or (replace and _digest(out / name) != digest):
                    (out / name).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(part / name, out / name)
            return
        foreign = [name for name in digests if name not in old and (out / name).exists()]
        if not replace or not old:
            raise UnspeechError(f"{given}: holds something else already; choose another directory")
        if foreign:
            raise UnspeechError(
                f"{given / foreign[0]}: is there already, and not from here; choose another "
                "directory"
            )
        _replace_files(part, out, [name for name in old if name not in digests])
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _replace_files(part: Path, out: Path, stale: list[str]) -> None:
    """Move all files of `part` over those in `out`, their list first, and remove stale ones."""
    old = read_table(out / _MADE)
    write_table(out / _MADE, old | read_table(part / _MADE) | {_REPLACING: "-"})
    for path in sorted(part.rglob("*")):
        if path.is_file() and path.name != _MADE:
            (out / path.relative_to(part)).parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, out / path.relative_to(part))
    for name in stale:
        (out / name).unlink(missing_ok=True)
    os.replace(part / _MADE, out / _MADE)


def _digest(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def _is_there(path: Path, digest: str) -> bool:
    """Whether a file is there, and not empty unless it was made so."""
    return path.is_file() and (path.stat().st_size > 0 or digest == hashlib.md5().hexdigest())


def what_is_gone(out: Path) -> str | None:
    """Say in words what is missing of the files that `new_data_dir` put at `out`."""
    if not out.is_dir():
        return f"{out} is gone"
    if not (out / _MADE).exists():
        return f"{out / _MADE} is gone"
    for name, digest in read_table(out / _MADE).items():
        if not _is_there(out / name, digest):
            return f"{out / name} is gone or empty"
    return None


def add_replace_option(parser: argparse.ArgumentParser) -> None:
    """The option of programs that fill a `new_data_dir`."""
    parser.add_argument(
        "--replace", choices=["true", "false"], default="false",
        help="whether files that were made in --out before give way to the new ones",
    )  # fmt: skip
