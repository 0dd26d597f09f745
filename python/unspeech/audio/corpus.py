"""Kaldi data directories of corpora: of other ones, or of folders of audio files.

A folder with `wav.scp` or `feats.scp` is a data directory; in any other, each audio file is an
utterance, named by its path. Paths become absolute, files are sorted as Kaldi wants them, and an
utterance without a speaker is its own.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from unspeech.audio.joining import join_utterances
from unspeech.audio.recordings import (
    absolute_entry,
    channels_of,
    find_file,
    is_pipe,
    parse_entry,
)
from unspeech.audio.utterances import read_segments
from unspeech.cli.errors import UnspeechError
from unspeech.files.text import is_there
from unspeech.kaldi.archives import split_entry
from unspeech.kaldi.data_dir import (
    OF_RECORDINGS,
    OF_SPEAKERS,
    OF_UTTERANCES,
    UNCHANGED,
    LeftOut,
    Tables,
    new_data_dir,
)
from unspeech.kaldi.tables import invert, read_table, write_table

_SUFFIXES = {
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".sph", ".nist", ".aif", ".aiff", ".au",
    ".snd", ".caf", ".w64", ".rf64",
}  # fmt: skip


def read_data_dir(data: Path, features: bool = True) -> tuple[Tables, LeftOut]:
    """Read a Kaldi data directory, with absolute paths and a speaker for every utterance.

    Args:
        data: the data directory.
        features: whether to read `feats.scp`, if there is one.
    Returns:
        (the tables that the directory has, each for the same utterances; utterances left out
        since not all of audio, `feats.scp` and `utt2spk` have them).
    Raises:
        UnspeechError: for a malformed table, a missing audio or feature file, or an utterance
            that `utt2spk` lacks.
    """
    tables: Tables = {}
    utterances: list[str] = []
    left_out: LeftOut = {}
    unsaid: list[str] = []
    if is_there(data / "wav.scp"):
        wav = read_table(data / "wav.scp")
        segments = read_segments(data, wav)
        channels: dict[str, set[int | None]] = {}
        for recording, _, _, channel in segments.values():
            channels.setdefault(recording, set()).add(channel)
        tables["wav.scp"], unsaid = _absolute_audio(wav, data, channels)
        utterances = list(segments or wav)
    else:
        segments = read_segments(data)
    if segments:
        tables["segments"] = read_table(data / "segments")
    if features and is_there(data / "feats.scp"):
        feats = read_table(data / "feats.scp")
        if utterances:
            audible = set(utterances)
            left_out = {
                "utterances that feats.scp lacks": [u for u in utterances if u not in feats],
                "utterances of feats.scp without audio": [u for u in feats if u not in audible],
            }
            utterances = [utterance for utterance in utterances if utterance in feats]
            if not utterances:
                raise UnspeechError(
                    f"{data / 'feats.scp'}: none of its utterances, such as '{next(iter(feats))}', "
                    "is in wav.scp or segments; make the features again"
                )
        else:
            utterances = list(feats)
        tables["feats.scp"] = {u: _absolute_feats(u, feats[u], data) for u in utterances}
    if not utterances:
        raise UnspeechError(f"{data / 'wav.scp'}: no such file, and no feats.scp is to be read")
    if is_there(data / "utt2spk"):
        utt2spk = read_table(data / "utt2spk")
        known = set().union(utterances, *left_out.values())
        unknown = [utterance for utterance in utt2spk if utterance not in known]
        left_out["utterances of utt2spk without audio or features"] = unknown
        for utterance in utterances:
            if utterance not in utt2spk:
                raise UnspeechError(
                    f"{data / 'utt2spk'}: no speaker for utterance '{utterance}'; add a line "
                    "for it, or remove the file if speakers are unknown"
                )
        tables["utt2spk"] = {utterance: utt2spk[utterance] for utterance in utterances}
    elif is_there(data / "spk2utt"):
        raise UnspeechError(
            f"{data / 'utt2spk'}: no such file, but there is spk2utt; make it with Kaldi's "
            "utils/spk2utt_to_utt2spk.pl, or remove both if speakers are unknown"
        )
    else:
        tables["utt2spk"] = {utterance: utterance for utterance in utterances}
    wanted = set(utterances)
    if "segments" in tables:
        tables["segments"] = _only(tables["segments"], wanted)
        if not tables["segments"]:  # of other utterances than the features
            del tables["segments"]
    elif "wav.scp" in tables:
        tables["wav.scp"] = _only(tables["wav.scp"], wanted)
    for names, keys in (
        ((*OF_UTTERANCES, "utt2num_frames"), wanted),
        (OF_RECORDINGS, set(tables.get("wav.scp", ()))),
        (OF_SPEAKERS, set(tables["utt2spk"].values())),
    ):
        for name in names:
            if is_there(data / name):
                known = _only(read_table(data / name, empty_values=name == "text"), keys)
                if known:
                    tables[name] = known
    others = [name for name in NOT_COPIED if is_there(data / name)]
    left_out["files of the data directory"] = others
    left_out["channels but the first of recordings, as nothing says which is meant,"] = unsaid
    return tables, left_out


NOT_COPIED = ("vad.scp", "cmvn.scp", *UNCHANGED)  # of features as they were, or of whole corpora


def _only(table: Mapping[str, str], keys: set[str]) -> dict[str, str]:
    return {key: value for key, value in table.items() if key in keys}


def _absolute_audio(
    wav: Mapping[str, str], data: Path, of_segments: Mapping[str, set[int | None]]
) -> tuple[dict[str, str], list[str]]:
    """`wav.scp` as Kaldi's programs read it, from anywhere, see `absolute_entry`.

    Args:
        of_segments: the channels in `segments` of each recording; None: one without.
    Returns:
        (the table, recordings whose first channel is taken since nothing says which is meant).
    """
    table = data / "reco2file_and_channel"
    channels = channels_of(read_table(table)) if is_there(table) else {}
    found, unsaid = {}, []
    for recording, entry in wav.items():
        named = of_segments.get(recording, set())
        segmented = named == {None}
        # Where segments name channels, all of them have to be there.
        channel = channels.get(recording) if named <= {None} else None
        try:
            found[recording] = absolute_entry(entry, data, channel, segmented)
        except ValueError as error:
            raise UnspeechError(
                f"{data / 'wav.scp'}: utterance '{recording}': {error}; correct the path or "
                "remove the line"
            ) from None
        if segmented and channel is None and parse_entry(entry).channel is None:
            unsaid += [recording] * (parse_entry(found[recording]).channel is not None)
    return found, unsaid


def _absolute_feats(utterance: str, entry: str, data: Path) -> str:
    file = split_entry(entry)[0]
    if is_pipe(file):
        return entry
    try:
        return os.path.join(os.getcwd(), find_file(file, data)) + entry.removeprefix(file)
    except ValueError as error:
        raise UnspeechError(
            f"{data / 'feats.scp'}: utterance '{utterance}': {error}; make the features again"
        ) from None


def read_audio_folder(folder: Path) -> tuple[Tables, LeftOut]:
    """Make each audio file below a folder an utterance, named by its path there.

    Returns:
        (tables, files left out since their names are not those of audio, and links to folders
        left out since they lead back); hidden files and folders are in neither.
    Raises:
        UnspeechError: when there is no audio, two files get one name, or a file has a name that
            cannot stand in wav.scp or is a link to nothing.
    """
    wav: dict[str, str] = {}
    others: list[str] = []
    circular: list[str] = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        above = Path(parent).resolve()
        loops = {name for name in folders if above.is_relative_to(Path(parent, name).resolve())}
        circular += [str(Path(parent, name).relative_to(folder)) for name in sorted(loops)]
        folders[:] = [name for name in folders if name not in loops]
        for name in sorted(files):
            path = Path(parent, name)
            if name.startswith("."):
                continue
            if path.suffix.lower() not in _SUFFIXES:
                others.append(str(path.relative_to(folder)))
                continue
            relative = path.relative_to(folder).with_suffix("")
            utterance = re.sub(r"\s+", "_", "-".join(relative.parts))
            if utterance in wav:
                raise UnspeechError(
                    f"{path} and {wav[utterance]} would both be utterance '{utterance}'; "
                    "rename or remove one of them"
                )
            name = str(path.absolute())
            if _NOT_IN_TABLES.search(name):
                raise UnspeechError(f"{name!r}: a name that wav.scp cannot hold; rename it")
            if not path.is_file():
                raise UnspeechError(f"{path}: a link to nothing, or not a file; remove it")
            wav[utterance] = name
    if not wav:
        found = f"only files of other kinds, such as {others[0]}" if others else "no file"
        raise UnspeechError(
            f"{folder}: {found}; expected a Kaldi data directory (wav.scp or feats.scp) or audio "
            f"files ({' '.join(sorted(_SUFFIXES))})"
        )
    try:
        entries = {u: absolute_entry(path, folder, None, False) for u, path in wav.items()}
    except ValueError as error:
        raise UnspeechError(f"{error}; change its permissions, or remove it") from None
    tables = {"wav.scp": entries, "utt2spk": {utterance: utterance for utterance in wav}}
    return tables, {"files that are not audio": others, "links that lead back": circular}


_NOT_IN_TABLES = re.compile("[\0-\x1f\ud800-\udfff]")  # line feeds; bytes that are not UTF-8


def say_left_out(left_out: LeftOut) -> None:
    """Print how many utterances or files are left out, and some of them."""
    for kind, names in left_out.items():
        if names:
            some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            print(f"Left out {len(names)} {kind}: {some}")


def make_data_dir(
    corpus: Path,
    out: Path,
    join_seconds: float = 0,
    features: bool = True,
    replace: bool = False,
) -> None:
    """Write the data directory of a corpus; nothing is under its name before it is complete.

    Raises:
        UnspeechError: for a corpus that cannot be used (see `read_data_dir` and
            `read_audio_folder`), or when `out` was made of something else.
    """
    if not corpus.is_dir():
        raise UnspeechError(f"{corpus}: no such directory")
    if is_there(corpus / "wav.scp") or is_there(corpus / "feats.scp"):
        tables, left_out = read_data_dir(corpus, features)
    else:
        tables, left_out = read_audio_folder(corpus)
    with new_data_dir(out, replace) as part:
        if join_seconds:
            tables = join_utterances(corpus, tables, join_seconds, part, out)
        tables["spk2utt"] = invert(tables["utt2spk"])
        for name, table in tables.items():
            write_table(part / name, table)
    speakers = len(tables["spk2utt"])
    print(f"{out}: {len(tables['utt2spk'])} utterances, {speakers} speakers, from {corpus}")
    say_left_out(left_out)
