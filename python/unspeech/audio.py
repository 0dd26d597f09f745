"""Audio of a Kaldi data directory: utterances one by one, one channel, at one rate.

`wav.scp` may hold paths (relative to the data directory, or to where the recipe runs, or
absolute) and pipes; `segments` cuts utterances from recordings.
Source: Kaldi's `src/featbin/extract-segments.cc` for how segments are cut.
"""

import io
import os
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from unspeech.errors import UnspeechError
from unspeech.processes import pipe_output
from unspeech.tables import read_table

_BLOCK = 1 << 20  # samples decoded at a time, so that unused channels are never all in memory
# What Kaldi's `utils/data/perturb_data_dir_speed.sh` writes; done here where there is no sox.
_SPEED = re.compile(
    r"(?:(?P<pipe>.+\|) *)?sox (?:-t wav )?(?P<file>\S.*) -t wav - speed (?P<factor>[0-9.]+) *\|"
)
_OVERSHOOT = 0.5  # seconds that a segment may end after its recording, as in Kaldi


class AudioError(UnspeechError):
    """One utterance's audio cannot be used; `reason` says why, without file and utterance."""

    def __init__(self, source: Path, utterance: str, reason: str) -> None:
        super().__init__(f"{source}: utterance '{utterance}': {reason}")
        self.reason = reason


class DataAudio:
    """The audio of a data directory.

    Attributes:
        utterances: names, in the order of `segments`, or of `wav.scp` when there is none.
        rates: how many of the recordings read so far were resampled, by their rate in Hz.
        multichannel: how many of them have several channels; the first one is used.
        clipped: how many of them have samples beyond ±1, as files of floats and lossy ones can.

    Args:
        data: data directory with `wav.scp`, and `segments` if recordings are to be cut.
        rate: Hz; recordings at another rate are resampled.
    Raises:
        UnspeechError: when a file is missing or malformed, or a segment has no recording.
    """

    def __init__(self, data: str | Path, rate: int) -> None:
        self.data = Path(data)
        self.rate = rate
        self.rates: Counter[int] = Counter()
        self.multichannel = self.clipped = 0
        self.source = self.data / "wav.scp"
        self._entries = read_table(self.source)
        self._segments = read_segments(self.data, self._entries)
        self.utterances = list(self._segments or self._entries)

    def read(
        self, utterances: Iterable[str] | None = None
    ) -> Iterator[tuple[str, np.ndarray | AudioError]]:
        """Decode utterances, each recording once for all its utterances.

        Yields:
            (name, (samples,) float32 in [-1, 1]), recording by recording in the order of their
            first utterance; an AudioError in place of the samples when they cannot be used.
        Raises:
            UnspeechError: for an utterance that the data directory does not have.
        """
        by_recording: dict[str, list[str]] = {}
        for utterance in self.utterances if utterances is None else utterances:
            known = self._segments or self._entries
            if utterance not in known:
                name = self.data / "segments" if self._segments else self.source
                raise UnspeechError(f"{name}: no line for utterance '{utterance}'; add one")
            recording = self._segments[utterance][0] if self._segments else utterance
            by_recording.setdefault(recording, []).append(utterance)
        for recording, own in by_recording.items():
            try:
                samples = self._recording(recording)
            except ValueError as error:
                for utterance in own:
                    yield utterance, AudioError(self.source, utterance, str(error))
                continue
            for utterance in own:
                try:
                    yield utterance, self._cut(utterance, samples)
                except ValueError as error:
                    yield utterance, AudioError(self.source, utterance, str(error))

    def _recording(self, recording: str) -> np.ndarray:
        entry = self._entries[recording]
        speed = None if shutil.which("sox") else _SPEED.fullmatch(entry)
        if speed:
            entry = speed["pipe"] or shlex.split(speed["file"])[0]
        file = io.BytesIO(pipe_output(entry)) if is_pipe(entry) else find_file(entry, self.data)
        try:
            samples, rate, channels = decode(file)
        except ValueError as error:
            raise ValueError(f"{entry}: {error}") from None
        self.clipped += np.abs(samples).max() > 1
        self.multichannel += channels > 1
        if speed:
            samples = soxr.resample(samples, float(speed["factor"]) * rate, rate)
        if rate != self.rate:
            self.rates[rate] += 1
            samples = soxr.resample(samples, rate, self.rate)
        return samples

    def _cut(self, utterance: str, samples: np.ndarray) -> np.ndarray:
        if not self._segments:
            return samples
        _, start, end = self._segments[utterance]
        length = len(samples) / self.rate
        if end > length + _OVERSHOOT or start >= length:
            raise ValueError(f"segment {start:g} to {end:g} s of a recording of {length:.2f} s")
        last = len(samples) if end < 0 else int(end * self.rate)
        return samples[int(start * self.rate) : last]


def decode(file: str | BinaryIO) -> tuple[np.ndarray, int, int]:
    """Decode the first channel of an audio file.

    Returns:
        (samples,) float32, rate in Hz, and how many channels there are.
    Raises:
        ValueError: saying why it cannot be used; when it holds less than it declares, too.
    """
    try:
        with soundfile.SoundFile(file) as audio:
            first = []
            # Until nothing comes: a read that is cut short leaves the rest of its array as it was.
            while len(block := audio.read(_BLOCK, dtype="float32", always_2d=True)):
                first.append(block[:, 0].copy())
            rate, channels, declared = audio.samplerate, audio.channels, audio.frames
            kind, log = audio.format, audio.extra_info
    except soundfile.LibsndfileError as error:
        raise ValueError(f"cannot be decoded ({error.error_string})") from None
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: raw, as by its name
        raise ValueError(f"cannot be decoded ({error})") from None
    samples = np.concatenate(first or [np.zeros(0, np.float32)])
    if not len(samples):
        raise ValueError("holds no audio")
    if declared < _UNKNOWN_LENGTH and len(samples) < declared:
        raise ValueError(
            f"cut short: it declares {declared / rate:.2f} s and holds {len(samples) / rate:.2f} s"
        )
    if kind in _CUT_SHORT and _CUT_SHORT[kind](file, log, declared):
        raise ValueError(
            f"cut short: it declares more than the {len(samples) / rate:.2f} s that it holds"
        )
    if not np.isfinite(samples).all():
        raise ValueError("NaN or infinite sample")
    if np.abs(samples).max() > _LOUDEST:
        raise ValueError(
            f"samples of up to {np.abs(samples).max():g}; floats are expected to lie within ±1"
        )
    return samples, rate, channels


_UNKNOWN_LENGTH = 1 << 48  # frames; libsndfile gives the largest integer where none is declared
_LOUDEST = 10  # a float file with more is scaled otherwise, or is no audio


def _too_few_bytes(file: str | BinaryIO, log: str, declared: int) -> bool:
    """Whether libsndfile has put right the size of the samples in a header.

    A header that was written before the size was known, to a pipe, has nearly the largest number
    there. Source: Kaldi's `src/feat/wave-reader.cc`.
    """
    sizes = _SIZE_IN_LOG.findall(log)
    return any(int(found) < int(said) < _STREAMED for said, found in sizes)


_SIZE_IN_LOG = re.compile(
    r"^ *(?:data|SSND|Data Size|Riff size|riff) *: (\d+) \(should be (\d+)\)", re.MULTILINE
)
_STREAMED = 0x7FFF0000


def _too_few_samples(file: str | BinaryIO, log: str, declared: int) -> bool:
    """Whether a NIST SPHERE file has fewer samples than its header says."""
    count = re.search(rb"sample_count -i (\d+)", _read_part(file, 0, 1024))
    return count is not None and int(count[1]) > declared


def _without_last_page(file: str | BinaryIO, log: str, declared: int) -> bool:
    """Whether an Ogg file ends before the end of its stream, or within a page.

    Source: RFC 3533, section 6: the 6th byte of a page has flags, the 27th the number of its
    segments, whose lengths follow.
    """
    end = _read_part(file, -_LONGEST_PAGE)
    place = end.rfind(b"OggS")
    while place >= 0:
        page = end[place:]
        if len(page) >= 27 and len(page) == 27 + page[26] + sum(page[27 : 27 + page[26]]):
            return not page[5] & 4
        place = end.rfind(b"OggS", 0, place)
    return True


_LONGEST_PAGE = 27 + 255 + 255 * 255  # bytes
_CUT_SHORT = dict.fromkeys(("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"), _too_few_bytes)
_CUT_SHORT |= {"NIST": _too_few_samples, "OGG": _without_last_page}


def _read_part(file: str | BinaryIO, begin: int, size: int = -1) -> bytes:
    """Bytes of a file from a place on; a negative one is counted from the end."""
    if isinstance(file, str):
        with open(file, "rb") as opened:
            return _read_part(opened, begin, size)
    length = file.seek(0, io.SEEK_END)
    file.seek(max(0, length + begin) if begin < 0 else begin)
    return file.read(size)


def read_segments(data: Path, recordings: Iterable[str]) -> dict[str, tuple[str, float, float]]:
    """Read `segments`: {utterance: (recording, start, end)} in seconds, end -1 for the last sample.

    Returns: nothing when there is no such file.
    Raises:
        UnspeechError: when a line is malformed or its recording is not among `recordings`.
    """
    path = data / "segments"
    if not path.exists():
        return {}
    known = set(recordings)
    segments = {}
    for utterance, rest in read_table(path).items():
        where = f"{path}: utterance '{utterance}'"
        try:
            recording, start, end = rest.split()
            begin, finish = float(start), float(end)
        except ValueError:
            raise UnspeechError(
                f"{where}: expected '<recording> <start> <end>', found '{rest}'"
            ) from None
        if recording not in known:
            raise UnspeechError(f"{where}: its recording '{recording}' is not in wav.scp")
        if not (begin >= 0 and (finish > begin or finish == -1)):
            raise UnspeechError(f"{where}: starts at {start} s and ends at {end} s")
        segments[utterance] = (recording, begin, finish)
    return segments


def is_pipe(entry: str) -> bool:
    """Whether an entry of `wav.scp` is a command whose output is the audio."""
    return entry.endswith("|")


def find_file(entry: str, data: Path) -> str:
    """The file that an entry names: relative to the data directory, else as it stands.

    Raises:
        ValueError: when there is none.
    """
    # By `os`, as there may be millions of files, and paths as objects take several times as long.
    for path in (os.path.join(data, entry), entry):
        if os.path.isfile(path):
            if not os.access(path, os.R_OK):
                raise ValueError(f"{entry}: no permission to read it")
            return path
        if os.path.exists(path):
            raise ValueError(f"{entry}: not a file, but a directory, pipe or device")
    raise ValueError(f"{entry}: no such file")


def wav_bytes(samples: np.ndarray, rate: int) -> bytes:
    """Encode (samples,) int16, or float in [-1, 1], as a 16-bit wav file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, "PCM_16", format="WAV")
    return file.getvalue()
