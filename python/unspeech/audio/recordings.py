"""What an entry of `wav.scp` names: a file, a WAV file in an archive, or the output of a command.

Commands that do nothing but decode one file are told from others, and the file is read directly:
`flac -c -d -s FILE |` as in Kaldi's recipes, `wav-copy FILE - |`, and our own,

    steps_unspeech/lib/decode_audio.sh [--channel 1] FILE |

by which Kaldi's programs read what is not WAV, or one channel of several.
Source: Kaldi's `src/util/kaldi-io.h` (rxfilenames) and `src/feat/wave-reader.h`.
"""

import io
import os
import re
import shlex
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import soundfile

DECODER = Path(__file__).parents[3] / "steps_unspeech/lib/decode_audio.sh"
CHANNELS = {"A": 0, "B": 1, "1": 0, "2": 1}  # in reco2file_and_channel
_OFFSET = re.compile(r"(.+):([0-9]{1,18})")  # no file is longer
_NOT_SIMPLE = re.compile(r"[|;&<>$`(){}*?~\[\n]")  # what a shell would do more with


@dataclass(frozen=True)
class Entry:
    """An entry of `wav.scp`, parsed.

    Attributes:
        file: the file's name; None for a command that is not known.
        offset: bytes, of a WAV file within an archive.
        channel: from 0, the only one that is meant.
    """

    file: str | None = None
    offset: int | None = None
    channel: int | None = None


def is_pipe(entry: str) -> bool:
    """Whether an entry of `wav.scp` is a command whose output is the audio."""
    return entry.endswith("|")


def find_file(entry: str, data: Path) -> str:
    """The file that an entry names: as it stands, as for Kaldi, else beside it in `data`.

    Raises:
        ValueError: when there is none, or both are there.
    """
    # By `os`, as there may be millions of files, and paths as objects take several times as long.
    beside = os.path.join(data, entry)
    for path in (entry, beside):
        if not os.path.exists(path):
            continue
        if not os.path.isfile(path):
            raise ValueError(f"{entry}: not a file, but a directory, pipe or device")
        if not os.access(path, os.R_OK):
            raise ValueError(f"{entry}: no permission to read it")
        if path != beside and os.path.exists(beside) and not os.path.samefile(path, beside):
            raise ValueError(f"{entry} could be {os.path.abspath(path)} or {beside}")
        return path
    raise ValueError(f"{entry}: no such file")


def parse_entry(entry: str) -> Entry:
    """Tell what an entry names. A name that ends with `:<number>` is taken for an archive's."""
    if not is_pipe(entry):
        archive = _OFFSET.fullmatch(entry)
        return Entry(archive[1], int(archive[2])) if archive else Entry(entry)
    command = entry.rstrip("| ")
    try:
        words = shlex.split(command)
    except ValueError:  # quotes that do not end
        return Entry()
    if len(words) < 2:
        return Entry()
    program, *options, last = Path(words[0]).name, *words[1:]
    if program != DECODER.name and _NOT_SIMPLE.search(command):
        return Entry()
    match program, options:
        case ("decode_audio.sh", []):
            return Entry(last)
        case ("decode_audio.sh", ["--channel", number]) if number.isdecimal():
            return Entry(last, channel=int(number))
        case ("flac", [*flags]) if flags and set("".join(flags)) == set("-cds"):
            return Entry(last)
        case ("wav-copy", [name]) if last == "-":
            return parse_entry(name)
    return Entry()


def file_of_word(word: str) -> str | None:
    """The file that a word of a command names; None when a shell would do more with it."""
    try:
        words = shlex.split(word)
    except ValueError:  # quotes that do not end
        return None
    if len(words) != 1 or (_NOT_SIMPLE.search(word) and word != shlex.quote(words[0])):
        return None
    return words[0]


def open_recording(entry: Entry, data: Path) -> str | io.BytesIO:
    """The file of an entry, or its part of an archive, for soundfile.

    Raises:
        ValueError: when there is none, or no WAV file where the archive should hold one.
    """
    if entry.offset is None:
        return find_file(entry.file, data)
    name = f"{entry.file}:{entry.offset}"
    try:
        return find_file(name, data)  # an odd name
    except ValueError:
        path = find_file(entry.file, data)
    with open(path, "rb") as file:
        file.seek(entry.offset)
        head = file.read(12)
        if not _is_wav(head):
            raise ValueError(f"{name}: no WAV file begins there")
        size = int.from_bytes(head[4:8], "little")
        streamed = size in (0, 0xFFFFFFFF)  # as Kaldi's reader takes it: up to the file's end
        return io.BytesIO(head + file.read(-1 if streamed else max(0, size - 4)))


def _is_wav(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WAVE"


def channels_of(table: Mapping[str, str]) -> dict[str, int]:
    """The channel, from 0, of each recording of a `reco2file_and_channel`; A is the first."""
    letters = {recording: value.encode().split()[-1].decode() for recording, value in table.items()}
    return {recording: CHANNELS[c] for recording, c in letters.items() if c in CHANNELS}


def absolute_entry(entry: str, data: Path, channel: int | None, segmented: bool) -> str:
    """An entry for the same audio that can be read from anywhere, by Kaldi's programs too.

    They read WAV files of 16 bits only, of several channels the first, and cut segments from a
    single channel or by a channel in `segments`. Anything else becomes a pipe that decodes it.

    Args:
        entry: as in `wav.scp`.
        data: the data directory.
        channel: that of `reco2file_and_channel`; None: there is none.
        segmented: whether segments without a channel are cut from it.
    Raises:
        ValueError: when there is no such file.
    """
    parsed = parse_entry(entry)
    if parsed.file is None or (is_pipe(entry) and not _is_ours(entry)):
        return entry
    found = open_recording(parsed, data)
    if not isinstance(found, str):
        return f"{_absolute(find_file(parsed.file, data))}:{parsed.offset}"
    path = _absolute(found)
    try:
        with open(found, "rb", buffering=0) as file:
            head = file.read(36)
        wav, plain = _is_wav(head), _plain_channels(head)
        flac = head[:4] == b"fLaC" and shutil.which("flac")
        decides = not plain and (wav or flac or channel or segmented)
        info = soundfile.info(found) if decides else None
    except (OSError, RuntimeError, TypeError):  # it is said later, when it is decoded
        return path
    channels = info.channels if info else plain
    wanted = parsed.channel
    if wanted is None and channels > 1 and (channel or segmented):
        wanted = min(channel or 0, channels - 1)
    if wanted is not None:
        return f"{shlex.quote(str(DECODER))} --channel {wanted} {shlex.quote(path)} |"
    if plain or (info and info.subtype == "PCM_16"):
        if wav:
            return path
        if flac:
            return f"flac -c -d -s {shlex.quote(path)} |"
    return f"{shlex.quote(str(DECODER))} {shlex.quote(path)} |"


def _plain_channels(head: bytes) -> int:
    """The channels of a WAV file of 16 bits, by its first 36 bytes; 0 for what they do not tell."""
    if not _is_wav(head) or head[12:16] != b"fmt " or head[34:36] != b"\x10\0":
        return 0
    kind, channels = struct.unpack("<HH", head[20:24])
    return channels if kind == _PCM else 0


_PCM = 1


def _absolute(path: str) -> str:
    return os.path.join(os.getcwd(), path)


def _is_ours(entry: str) -> bool:
    return Path(shlex.split(entry.rstrip("| "))[0]).name == DECODER.name
