"""Audio of a Kaldi data directory: utterances one by one, one channel, at one rate.

`wav.scp` may hold paths (relative to the data directory, or to where the recipe runs, or
absolute) and pipes; `segments` cuts utterances from recordings.
Source: Kaldi's `src/featbin/extract-segments.cc` for how segments are cut.
"""

import io
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

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
        self.multichannel = 0
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
            with soundfile.SoundFile(file) as audio:
                rate, channels = audio.samplerate, audio.channels
                blocks = audio.blocks(_BLOCK, dtype="float32", always_2d=True)
                first = [block[:, 0].copy() for block in blocks]
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{entry}: cannot be decoded ({error.error_string})") from None
        samples = np.concatenate(first or [np.zeros(0, np.float32)])
        if not len(samples):
            raise ValueError(f"{entry}: holds no audio")
        if not np.isfinite(samples).all():
            raise ValueError(f"{entry}: NaN or infinite sample")
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


def find_file(entry: str, data: Path) -> Path:
    """The file that an entry names: relative to the data directory, else as it stands.

    Raises:
        ValueError: when there is none.
    """
    for path in (data / entry, Path(entry)):
        if path.is_file():
            return path
    raise ValueError(f"{entry}: no such file")


def wav_bytes(samples: np.ndarray, rate: int) -> bytes:
    """Encode (samples,) int16, or float in [-1, 1], as a 16-bit wav file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, "PCM_16", format="WAV")
    return file.getvalue()
