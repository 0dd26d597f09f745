"""Audio of a Kaldi data directory: utterances one by one, one channel, at one rate.

`wav.scp` may hold paths (relative to where the recipe runs, as for Kaldi, or to the data
directory, or absolute), places in archives and pipes; `segments` cuts utterances from recordings.
The channel is that of a fifth column of `segments`, else of `reco2file_and_channel`.
Source: Kaldi's `src/featbin/extract-segments.cc` for how segments are cut.
"""

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

from unspeech.audio.decoding import decode
from unspeech.audio.recordings import channels_of, file_of_word, open_recording, parse_entry
from unspeech.cli.errors import UnspeechError
from unspeech.cli.processes import pipe_output
from unspeech.files.text import is_there
from unspeech.kaldi.tables import read_table

# What Kaldi's `utils/data/perturb_data_dir_speed.sh` writes. It is done here: sox takes a recording
# that ends too early for a whole one, and is not everywhere.
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
        multichannel: how many of them have several channels, and nothing says which one is meant:
            the first one is used.
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
        table = self.data / "reco2file_and_channel"
        self._channels = channels_of(read_table(table)) if is_there(table) else {}

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
        by_recording: dict[tuple[str, int | None], list[str]] = {}
        for utterance in self.utterances if utterances is None else utterances:
            known = self._segments or self._entries
            if utterance not in known:
                name = self.data / "segments" if self._segments else self.source
                raise UnspeechError(f"{name}: no line for utterance '{utterance}'; add one")
            place = (utterance, None)
            if self._segments:
                recording, _, _, channel = self._segments[utterance]
                place = (recording, channel)
            by_recording.setdefault(place, []).append(utterance)
        for (recording, channel), own in by_recording.items():
            try:
                samples = self._recording(recording, channel)
            except ValueError as error:
                for utterance in own:
                    yield utterance, AudioError(self.source, utterance, str(error))
                continue
            for utterance in own:
                try:
                    yield utterance, self._cut(utterance, samples)
                except ValueError as error:
                    yield utterance, AudioError(self.source, utterance, str(error))

    def excerpt(self, utterance: str) -> tuple[np.ndarray, int]:
        """Decode one utterance alone, at its recording's own rate, to be heard.

        Of a file, only the utterance's part is read.
        Returns: (samples,) float32; rate in Hz.
        Raises:
            UnspeechError: when there is no such utterance, or its audio cannot be used.
        """
        recording, start, end, channel = utterance, 0.0, -1.0, None
        if self._segments:
            if utterance not in self._segments:
                raise UnspeechError(
                    f"{self.data / 'segments'}: no line for utterance '{utterance}'"
                )
            recording, start, end, channel = self._segments[utterance]
        if recording not in self._entries:
            raise UnspeechError(f"{self.source}: no line for utterance '{utterance}'")
        entry = self._entries[recording]
        try:
            if _at_speed(entry)[1] is not None:
                return self._cut(utterance, self._recording(recording, channel)), self.rate
            known = parse_entry(entry)
            file = open_recording(known, self.data) if known.file else _piped(entry)
            with soundfile.SoundFile(file) as audio:
                wanted = self._channel(recording, channel, known.channel, audio.channels)
                rate, first = audio.samplerate, _sample(start, audio.samplerate)
                audio.seek(min(first, max(audio.frames, 0)))
                count = -1 if end < 0 else max(0, _sample(end, rate) - first)
                samples = audio.read(count, dtype="float32", always_2d=True)[:, wanted]
        except (ValueError, soundfile.SoundFileError, TypeError) as error:
            raise AudioError(self.source, utterance, str(error)) from None
        if not len(samples):
            raise AudioError(self.source, utterance, "holds no audio there")
        return samples, rate

    def _recording(self, recording: str, channel: int | None) -> np.ndarray:
        entry, speed = _at_speed(self._entries[recording])
        known = parse_entry(entry)
        file = open_recording(known, self.data) if known.file else io.BytesIO(pipe_output(entry))
        try:
            samples, rate, channels = decode(
                file, lambda count: self._channel(recording, channel, known.channel, count)
            )
        except ValueError as error:
            raise ValueError(f"{entry}: {error}") from None
        self.clipped += np.abs(samples).max() > 1
        unsaid = channel is None and known.channel is None and recording not in self._channels
        self.multichannel += unsaid and channels > 1
        if speed is not None:
            samples = soxr.resample(samples, speed * rate, rate)
        if rate != self.rate:
            self.rates[rate] += 1
            samples = soxr.resample(samples, rate, self.rate)
        return samples

    def _channel(self, recording: str, segment: int | None, entry: int | None, count: int) -> int:
        """Which of `count` channels is meant: what wav.scp says, else segments, else the tables."""
        if None not in (segment, entry) and segment != entry:
            raise ValueError(f"segments has channel {segment} of it, wav.scp only channel {entry}")
        wanted = segment if entry is None else entry
        if wanted is None:
            # What names a channel of a call may be that channel alone.
            return min(self._channels.get(recording, 0), count - 1)
        if wanted >= count:
            raise ValueError(f"no channel {wanted} in a recording of {count}")
        return wanted

    def _cut(self, utterance: str, samples: np.ndarray) -> np.ndarray:
        if not self._segments:
            return samples
        _, start, end, _ = self._segments[utterance]
        length = len(samples) / self.rate
        if end > length + _OVERSHOOT or start >= length:
            raise ValueError(f"segment {start:g} to {end:g} s of a recording of {length:.2f} s")
        last = len(samples) if end < 0 else _sample(end, self.rate)
        cut = samples[_sample(start, self.rate) : last]
        if not len(cut):
            raise ValueError(f"segment {start:g} to {end:g} s is shorter than a sample")
        return cut


def _sample(seconds: float, rate: int) -> int:
    """The number of a sample, rounded as in Kaldi: 1.005 s times 16 kHz is less than 16080."""
    return int(seconds * rate + 0.5)


def _at_speed(entry: str) -> tuple[str, float | None]:
    """The entry of the recording that a pipe changes the speed of, and the factor; None: none is.

    A pipe that asks more of sox, or of the shell, is left to them.
    """
    found = _SPEED.fullmatch(entry)
    if not found:
        return entry, None
    if found["pipe"]:
        inner = found["pipe"] if found["file"] == "-" else ""
    else:
        inner = file_of_word(found["file"])
    return (inner, float(found["factor"])) if inner else (entry, None)


def _piped(entry: str) -> io.BytesIO:
    return io.BytesIO(_recent_output(entry))


@lru_cache(maxsize=8)  # recordings whose utterances are heard one after the other
def _recent_output(entry: str) -> bytes:
    return pipe_output(entry)


def read_segments(
    data: Path, recordings: Iterable[str] | None = None
) -> dict[str, tuple[str, float, float, int | None]]:
    """Read `segments`: {utterance: (recording, start, end, channel)}.

    Returns: times in seconds, end -1 for the last sample; the channel from 0, or None where there
        is no such column; nothing when there is no such file.
    Raises:
        UnspeechError: when a line is malformed, or its recording is not among `recordings` where
            these are given.
    """
    path = data / "segments"
    if not is_there(path):
        return {}
    known = None if recordings is None else set(recordings)
    segments = {}
    for utterance, rest in read_table(path).items():
        where = f"{path}: utterance '{utterance}'"
        try:
            recording, start, end, *channel = rest.split()
            begin, finish = float(start), float(end)
            number = int(*channel) if channel else None
        except (ValueError, TypeError):
            raise UnspeechError(
                f"{where}: expected '<recording> <start> <end> [<channel>]', found '{rest}'"
            ) from None
        if known is not None and recording not in known:
            raise UnspeechError(f"{where}: its recording '{recording}' is not in wav.scp")
        if not (begin >= 0 and (finish > begin or finish == -1)):
            raise UnspeechError(f"{where}: starts at {start} s and ends at {end} s")
        if number is not None and number < 0:
            raise UnspeechError(f"{where}: channel {number}; they are counted from 0")
        segments[utterance] = (recording, begin, finish, number)
    return segments
