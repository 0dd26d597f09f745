#!/usr/bin/env python3
"""Synthesise the demo corpus: eSpeak NG's voices in simulated rooms, as a Kaldi data directory.

    local/demo/make_corpus.py --seed 1 --out data/demo

Each of 36 voices has its own language, variant, pitch, rate and sentences, and speaks in one to
three rooms of its own. A speaker in `utt2spk` is a voice; `utt2room` tells the rooms apart. The
same seed gives the same audio.
Source: `espeak-ng/speak_lib.h`.
"""

import ctypes
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path

import espeakng_loader
import numpy as np
import pyroomacoustics
import soxr
import yaml
from scipy.signal import butter, fftconvolve, lfilter, sosfilt
from tqdm import tqdm

from unspeech.audio.augmentation import shoebox_response
from unspeech.audio.decoding import wav_bytes
from unspeech.cli.errors import UnspeechError, run_program
from unspeech.cli.limits import COUNT, SEED, Number
from unspeech.cli.options import OptionParser
from unspeech.cli.processes import die_with_parent
from unspeech.kaldi.data_dir import add_replace_option, new_data_dir
from unspeech.kaldi.tables import invert, write_table

RATE = 16000  # Hz
SHORTEST = 3.6  # seconds; sentences are added until an utterance is as long
MOST_ROOMS = 3
ROOM_SHARES = [0.5, 0.3, 0.2]  # of voices with one, two and three rooms

# eSpeak's language and variant, with pitch (0 to 99) and words a minute. Variants differ in
# formants, bandwidths and voice source, as speakers do; robots and whispers are not among them.
VOICES = [
    ("en+m1", 35, 165), ("en-us+f2", 55, 175), ("de+m3", 45, 160), ("fr+f4", 60, 180),
    ("es+m7", 50, 185), ("it+f1", 50, 175), ("nl+m4", 30, 160), ("pt-br+f5", 65, 180),
    ("pl+m8", 40, 165), ("sv+f3", 70, 170), ("fi+m2", 55, 175), ("en-gb-scotland+Gene", 40, 155),
    ("en-us+Andrea", 45, 170), ("de+belinda", 50, 165), ("fr+Michael", 45, 170),
    ("es+Alicia", 40, 190), ("it+Jacky", 60, 180), ("nl+aunty", 60, 175), ("pt-br+boris", 45, 165),
    ("pl+anika", 40, 160), ("sv+Mario", 35, 185), ("fi+steph", 55, 180),
    ("en-us+kaukovalta", 60, 160), ("de+klatt2", 40, 175), ("fr+zac", 30, 175),
    ("es+paul", 30, 160), ("en+grandma", 55, 150), ("it+klatt4", 55, 190),
    ("nl+travis", 50, 170), ("pt+quincy", 35, 175), ("pl+linda", 60, 175), ("sv+iven", 50, 155),
    ("fi+shelby", 75, 170), ("en-us+announcer", 50, 150), ("de+Annie", 65, 185),
    ("fr+edward", 50, 160),
]  # fmt: skip


@dataclass(frozen=True)
class Voice:
    """One of eSpeak's voices; `name` is the speaker in the corpus."""

    name: str
    espeak: str
    pitch: int
    rate: int


def voices() -> list[Voice]:
    """All voices, in the order of `VOICES`."""
    return [
        Voice(f"{number:02d}-{name.replace('+', '-').lower()}", name, pitch, rate)
        for number, (name, pitch, rate) in enumerate(VOICES, start=1)
    ]


class Espeak:
    """eSpeak NG speaking with one voice; once a process, since the library keeps global state."""

    _SYNCHRONOUS, _NO_ESPEAKRC_DIALOGUE = 2, 0x8000
    _RATE, _PITCH, _UTF8 = 1, 3, 1

    def __init__(self, voice: Voice) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self._rate = self._library.espeak_Initialize(
            self._SYNCHRONOUS, 0, data, self._NO_ESPEAKRC_DIALOGUE
        )
        if self._rate <= 0:
            raise UnspeechError(f"{data.decode()}: eSpeak NG cannot start; install it again")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # else it is the time
        ctypes.CDLL(None).srand(1)
        self._chunks: list[np.ndarray] = []
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
        )
        self._callback = kind(self._collect)  # kept, or it would be freed
        self._library.espeak_SetSynthCallback(self._callback)
        if self._library.espeak_SetVoiceByName(voice.espeak.encode()):
            raise UnspeechError(f"eSpeak NG has no voice '{voice.espeak}'")
        self._library.espeak_SetParameter(self._RATE, voice.rate, 0)
        self._library.espeak_SetParameter(self._PITCH, voice.pitch, 0)

    def _collect(self, samples, count: int, _) -> int:
        if samples and count:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str) -> np.ndarray:
        """Speak a text: (samples,) float64 at `RATE`, peak 1, silence at the ends removed."""
        self._chunks.clear()
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, self._UTF8, None, None)
        samples = soxr.resample(np.concatenate(self._chunks).astype(np.float64), self._rate, RATE)
        samples /= np.abs(samples).max()
        loud = np.flatnonzero(np.abs(samples) > 0.01)
        return samples[loud[0] : loud[-1] + 1]


@dataclass(frozen=True)
class Room:
    """A room with a microphone, and how that colours sound.

    Attributes:
        size: (3,) metres.
        absorption: energy absorbed at each wall, 0 to 1.
        microphone: (3,) metres.
        band: corner frequencies of the microphone in Hz.
        tilt: coefficient of a first-order filter, negative: brighter.
        noise_tilt: pole of the noise's first-order filter, near 1: a rumble.
        snr: decibels.
        level: of the recording, decibels below full scale.
    """

    size: np.ndarray
    absorption: float
    microphone: np.ndarray
    band: tuple[float, float]
    tilt: float
    noise_tilt: float
    snr: float
    level: float

    def response(self, rng: np.random.Generator) -> np.ndarray:
        """(samples,) impulse response from a random place in the room to the microphone."""
        source = rng.uniform(0.5, self.size - 0.5)
        return shoebox_response(self.size, self.absorption, source, self.microphone, RATE)

    def record(
        self, speech: np.ndarray, response: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """(samples,) float64 in (-1, 1): what the microphone makes of (samples,) speech."""
        sound = fftconvolve(np.pad(speech, int(0.1 * RATE)), response)
        noise = lfilter([1], [1, -self.noise_tilt], rng.standard_normal(len(sound)))
        sound += noise * (sound.std() / noise.std() * 10 ** (-self.snr / 20))
        sound = lfilter([1, self.tilt], [1], sound)
        sound = sosfilt(butter(2, self.band, "bandpass", fs=RATE, output="sos"), sound)
        gain = 10 ** ((self.level + rng.uniform(-1, 1)) / 20) / sound.std()
        return sound * min(gain, 0.95 / np.abs(sound).max())


Row = tuple[str, str, str, float]  # utterance, text, room, seconds


def draw_room(rng: np.random.Generator) -> Room:
    """Draw a room with its microphone, noise and recording level."""
    size = rng.uniform([2.5, 2.5, 2.2], [9, 7, 3.5])
    return Room(
        size=size,
        absorption=rng.uniform(0.25, 0.8),
        microphone=rng.uniform(0.4, size - 0.4),
        band=(rng.uniform(40, 250), rng.uniform(4000, 7500)),
        tilt=rng.uniform(-0.5, 0.5),
        noise_tilt=rng.uniform(0, 0.98),
        snr=rng.uniform(15, 35),
        level=rng.uniform(-28, -20),
    )


def draw_sentence(parts: list[list[str]], rng: np.random.Generator) -> str:
    """Put a sentence together from its beginnings, middles and ends."""
    words = " ".join(part[rng.integers(len(part))] for part in parts)
    return words.replace("%n", str(rng.integers(2, 60))) + "."


def make_voice(seed: int, number: int, seconds: float, folder: Path) -> list[Row]:
    """Speak and record all utterances of a voice, until `seconds` are full.

    eSpeak keeps its state from one text to the next, so that audio is repeatable only if the
    voice has a process of its own.
    """
    voice = voices()[number]
    rng = np.random.default_rng([seed, 1, number])
    pyroomacoustics.constants.set("num_threads", 1)  # sums in one order, so the same bytes
    rooms = [draw_room(rng) for _ in range(rng.choice(MOST_ROOMS, p=ROOM_SHARES) + 1)]
    responses = [room.response(rng) for room in rooms]
    sentences = yaml.safe_load((Path(__file__).parent / "sentences.yaml").read_text("utf-8"))
    parts = sentences[voice.espeak[:2]]
    espeak = Espeak(voice)
    rows: list[Row] = []
    while sum(row[3] for row in rows) < seconds:
        texts: list[str] = []
        speech = np.zeros(0)
        while len(speech) < SHORTEST * RATE:
            texts.append(draw_sentence(parts, rng))
            pause = np.zeros(int(rng.uniform(0.15, 0.35) * RATE)) if len(speech) else speech
            speech = np.concatenate([speech, pause, espeak.say(texts[-1])])
        room = len(rows) % len(rooms)
        recorded = rooms[room].record(speech, responses[room], rng)
        utterance = f"{voice.name}-{len(rows):03d}"
        (folder / f"{utterance}.wav").write_bytes(wav_bytes(recorded, RATE))
        rows.append((utterance, " ".join(texts), f"{voice.name}-room{room}", len(recorded) / RATE))
    return rows


def in_processes(jobs: Iterable[tuple], nj: int) -> Iterator[list[Row]]:
    """Yield make_voice(*job) for each job, in order, each in a new process, `nj` at a time.

    multiprocessing.Pool would start its processes from a thread, and those die with the thread.
    """
    running: deque[tuple[Process, Connection]] = deque()
    for job in jobs:
        if len(running) == nj:
            yield _result(*running.popleft())
        reader, writer = Pipe(duplex=False)
        process = Process(target=_child, args=(job, writer), daemon=True)
        process.start()
        writer.close()
        running.append((process, reader))
    while running:
        yield _result(*running.popleft())


def _child(job: tuple, writer: Connection) -> None:
    die_with_parent()
    try:
        writer.send(make_voice(*job))
    except (UnspeechError, OSError) as error:
        writer.send(error)


def _result(process: Process, reader: Connection) -> list[Row]:
    try:
        result = reader.recv()
    except EOFError:
        raise RuntimeError("a voice's process ended early, see above") from None
    process.join()
    if isinstance(result, Exception):
        raise result
    return result


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--out", required=True, type=Path, help="data directory to write")
    parser.add_argument("--seed", type=SEED, default=1, help="of texts, rooms and noise (1)")
    parser.add_argument(
        "--minutes", type=Number(float, "(0, 100000]"), default=25, help="length in all (25)"
    )
    parser.add_argument(
        "--voices", type=COUNT, default=len(voices()), help="use the first N voices"
    )
    parser.add_argument("--nj", type=Number(int, "[1, 1000]"), default=2, help="processes (2)")
    add_replace_option(parser)
    options = parser.parse_args()

    length = f"{options.minutes:g} minutes of {options.voices} voices"
    print(f"Synthesising {length}, seed {options.seed}", flush=True)
    seconds = options.minutes * 60 / options.voices
    with new_data_dir(options.out, options.replace == "true") as part:
        (part / "audio").mkdir()
        jobs = [(options.seed, n, seconds, part / "audio") for n in range(options.voices)]
        made = tqdm(
            in_processes(jobs, options.nj),
            total=len(jobs),
            unit="voice",
            disable=not sys.stderr.isatty(),
        )
        by_voice = {voices()[n].name: rows for n, rows in enumerate(made)}
        audio = options.out.absolute() / "audio"
        rows = [(speaker, *row) for speaker, rows in by_voice.items() for row in rows]
        utt2spk = {utterance: speaker for speaker, utterance, *_ in rows}
        write_table(part / "utt2spk", utt2spk)
        write_table(part / "spk2utt", invert(utt2spk))
        write_table(part / "wav.scp", {row[1]: audio / f"{row[1]}.wav" for row in rows})
        write_table(part / "text", {row[1]: row[2] for row in rows})
        write_table(part / "utt2room", {row[1]: row[3] for row in rows})
        write_table(part / "utt2dur", {row[1]: f"{row[4]:.3f}" for row in rows})
    total = sum(row[4] for row in rows) / 60
    print(f"{options.out}: {len(rows)} utterances of {len(by_voice)} voices, {total:.1f} minutes")


if __name__ == "__main__":
    run_program(main)
