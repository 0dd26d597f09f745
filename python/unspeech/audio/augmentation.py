"""Copies of utterances through other rooms and microphones, or in other voices.

Copies `aug1-<utterance>`, `aug2-…` keep the voice: rooms, noise, colour, band limits and codecs
differ, the level too. Copies `voice1-…` have another pitch, speed and formants, the same in all
utterances of a recording, and count as other speakers. `utt2uniq` names each copy's original.
Source: J. B. Allen and D. A. Berkley, "Image method for efficiently simulating small-room
acoustics", JASA 1979; Kaldi's `steps/data/reverberate_data_dir.py` and `augment_data_dir.py`.
"""

import hashlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyroomacoustics
import soundfile
import soxr
from scipy.fft import irfft, rfft
from scipy.signal import butter, fftconvolve, istft, sosfilt, stft
from tqdm import tqdm

from unspeech.audio.corpus import read_data_dir, say_left_out
from unspeech.audio.utterances import AudioError, DataAudio
from unspeech.cli.errors import UnspeechError
from unspeech.files.atomic import atomic_write
from unspeech.files.names import check_new, file_names
from unspeech.files.settings import read_yaml, setting, typed_values
from unspeech.kaldi.copies import original_of, recordings_of
from unspeech.kaldi.data_dir import FEATURES, Tables
from unspeech.kaldi.tables import invert, read_table, write_table

RATE = 16000  # Hz of the copies
SPEEDS, FORMANTS = (0.85, 1.18), (0.87, 1.15)  # factors of another voice
FRAME = 512  # samples of a spectrum
LIFTER = 28  # cepstral coefficients of the spectral envelope: what is shorter than a pitch period
CODECS = [  # format, subtype, Hz; with the last three, quality is drawn, too
    ("WAV", "ULAW", 8000), ("WAV", "ALAW", 8000), ("WAV", "GSM610", 8000),
    ("WAV", "IMA_ADPCM", 8000), ("AU", "G721_32", 8000), ("OGG", "OPUS", 16000),
    ("OGG", "VORBIS", 16000), ("MP3", "MPEG_LAYER_III", 16000),
]  # fmt: skip


@dataclass(frozen=True)
class Channels:
    """How often copies have what, as fractions of them."""

    reverberation: float = setting(0.5, "a simulated room", "[0, 1]")
    noise: float = setting(0.7, "steady noise of any colour", "[0, 1]")
    snr_least: float = setting(5.0, "dB of speech over noise, at least", "[-100, 200]")
    snr_most: float = setting(30.0, "dB of speech over noise, at most", "[-100, 200]")
    colour: float = setting(0.8, "a smooth spectral tilt", "[0, 1]")
    band: float = setting(0.3, "low and high frequencies cut off", "[0, 1]")
    codec: float = setting(0.4, "a telephone or music codec", "[0, 1]")


def shoebox_response(
    size: np.ndarray, absorption: float, source: np.ndarray, microphone: np.ndarray, rate: int
) -> np.ndarray:
    """(samples,) impulse response of a room, in metres, whose walls absorb some of the energy."""
    room = pyroomacoustics.ShoeBox(
        size, rate, materials=pyroomacoustics.Material(absorption), max_order=12
    )
    room.add_source(source)
    room.add_microphone(microphone)
    room.compute_rir()
    return room.rir[0][0]


def other_channel(samples: np.ndarray, channels: Channels, rng: np.random.Generator) -> np.ndarray:
    """Send speech through a room, a microphone and a line drawn at random.

    Args:
        samples: (samples,) at `RATE`.
    Returns:
        (samples,) float64 in [-1, 1], as long.
    """
    sound = samples.astype(np.float64)
    if rng.random() < channels.reverberation:
        sound = reverberated(sound, rng)
    if rng.random() < channels.noise:
        snr = rng.uniform(channels.snr_least, channels.snr_most)
        noise = shaped(rng.standard_normal(len(sound)), -rng.uniform(0, 6), rng)
        sound = sound + noise * (sound.std() / noise.std() * 10 ** (-snr / 20))
    if rng.random() < channels.colour:
        sound = shaped(sound, rng.uniform(-1.5, 1.5), rng)
    if rng.random() < channels.band:
        band = rng.uniform(50, 400), rng.uniform(3000, 7500)
        sound = sosfilt(butter(3, band, "bandpass", fs=RATE, output="sos"), sound)
    level = 10 ** (rng.uniform(-35, -15) / 20) / max(sound.std(), 1e-9)
    sound = sound * min(level, 0.95 / max(np.abs(sound).max(), 1e-9))
    if rng.random() < channels.codec:
        sound = coded(sound, rng)
    return np.clip(sound, -1, 1)


def reverberated(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put (samples,) speech into a room drawn at random; the direct sound stays where it was."""
    size = rng.uniform([2.5, 2.5, 2.2], [9, 7, 3.5])
    source, microphone = rng.uniform(0.4, size - 0.4), rng.uniform(0.4, size - 0.4)
    response = shoebox_response(size, rng.uniform(0.15, 0.8), source, microphone, RATE)
    direct = np.abs(response).argmax()
    return fftconvolve(samples, response)[direct : direct + len(samples)]


def shaped(samples: np.ndarray, tilt: float, rng: np.random.Generator) -> np.ndarray:
    """Filter (samples,) by `tilt` dB an octave from 1 kHz and a smooth random curve of 3 dB."""
    spectrum = rfft(samples)
    octaves = np.log2(np.maximum(np.linspace(0, RATE / 2, len(spectrum)), 60) / 1000)
    curve = np.interp(octaves, np.linspace(-4, 3, 8), rng.normal(0, 3, 8))
    return irfft(spectrum * 10 ** ((tilt * octaves + curve) / 20), len(samples))


def coded(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Encode and decode (samples,) by one of `CODECS`."""
    container, subtype, rate = CODECS[rng.integers(len(CODECS))]
    quality = {"compression_level": rng.uniform(0.5, 1)} if rate == RATE else {}
    file = io.BytesIO()
    line = soxr.resample(samples, RATE, rate)
    soundfile.write(file, line, rate, subtype, format=container, **quality)
    file.seek(0)
    decoded = soxr.resample(soundfile.read(file)[0], rate, RATE)
    return np.resize(np.pad(decoded, (0, max(0, len(samples) - len(decoded)))), len(samples))


def other_voice(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give (samples,) speech another pitch and speed by one factor, other formants by another.

    Returns: (other samples,) float64 in [-1, 1].
    """
    speed, formants = rng.uniform(*SPEEDS), rng.uniform(*FORMANTS)
    sped = soxr.resample(samples.astype(np.float64), speed * RATE, RATE)
    whole = np.pad(sped, (0, max(0, FRAME - len(sped))))
    _, _, spectra = stft(whole, RATE, nperseg=FRAME, noverlap=FRAME - FRAME // 4)
    cepstra = irfft(np.log(np.abs(spectra) + 1e-6), axis=0)
    cepstra[LIFTER : len(cepstra) - LIFTER + 1] = 0
    envelopes = rfft(cepstra, axis=0).real
    places = np.minimum(np.arange(len(spectra)) * speed / formants, len(spectra) - 1)
    below = np.minimum(places.astype(int), len(spectra) - 2)
    weights = (places - below)[:, None]
    moved = envelopes[below] * (1 - weights) + envelopes[below + 1] * weights
    changed = spectra * np.exp(moved - envelopes)
    _, voice = istft(changed, RATE, nperseg=FRAME, noverlap=FRAME - FRAME // 4)
    voice = voice[: len(sped)]
    return voice * min(1, 0.95 / max(np.abs(voice).max(), 1e-9))


def copies_of(
    utterance: str, recording: str, samples: np.ndarray, counts: dict, channels: Channels, seed: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, samples) of an utterance's copies; the same whatever else is copied.

    Args:
        counts: {prefix of the names: how many}, of "aug" and "voice".
    """
    for prefix, count in counts.items():
        drawn_for = utterance if prefix == "aug" else recording
        number = int.from_bytes(hashlib.blake2b(drawn_for.encode(), digest_size=8).digest())
        for copy in range(1, count + 1):
            rng = np.random.default_rng([seed, copy, number])
            if prefix == "aug":
                made = other_channel(samples, channels, rng)
            else:
                made = other_voice(samples, rng)
            yield f"{prefix}{copy}-{utterance}", made


def read_channels(path: Path) -> Channels:
    """Read the settings of copies.

    Raises:
        UnspeechError: for an unknown setting, or a fraction that is none.
    """
    channels = Channels(**typed_values(read_yaml(path), Channels, path))
    if channels.snr_least > channels.snr_most:
        raise UnspeechError(f"{path}: snr_least is above snr_most")
    return channels


def make_audio(options) -> None:
    """Write the copies of some utterances, and a line `<copy> <seconds> <file>` each."""
    pyroomacoustics.constants.set("num_threads", 1)  # sums in one order, so the same samples
    channels = read_channels(options.config)
    audio = DataAudio(options.data, RATE)
    utterances = list(read_table(options.utterances, empty_values=True))
    recordings = dict(zip(utterances, recordings_of(utterances, options.data), strict=True))
    counts = {"aug": options.copies, "voice": options.voices}
    kinds = [f"{prefix}{n}" for prefix, count in counts.items() for n in range(1, count + 1)]
    copies = [f"{kind}-{utterance}" for kind in kinds for utterance in audio.utterances]
    check_new(audio.utterances, copies, options.data)
    files = file_names(copies, ".wav", options.data)
    print(f"Copying {len(utterances)} utterances, seed {options.seed}", flush=True)
    progress = tqdm(
        audio.read(utterances), total=len(utterances), unit="utt", disable=not sys.stderr.isatty()
    )
    made: dict[str, str] = {}
    for utterance, samples in progress:
        if isinstance(samples, AudioError):
            print(f"WARNING: no copies: {samples}")
            continue
        own = utterance, recordings[utterance], samples
        for name, copy in copies_of(*own, counts, channels, options.seed):
            path = options.audio.absolute() / files[name]
            with atomic_write(path, "wb") as file:
                soundfile.write(file, copy, RATE, "PCM_16", format="WAV")
            made[name] = f"{len(copy) / RATE:.3f} {path}"
    with atomic_write(options.made[0]) as file:
        file.writelines(f"{name} {entry}\n" for name, entry in made.items())


def add_copies(tables: Tables, made: dict[str, str]) -> Tables:
    """Tables of a data directory with its copies, each a recording of its own.

    Args:
        tables: of the data directory, with `utt2uniq`.
        made: {copy: "<seconds> <file>"}.
    """
    joined = {name: dict(table) for name, table in tables.items()}
    for copy, entry in made.items():
        seconds, path = entry.split(maxsplit=1)
        prefix, _, utterance = copy.partition("-")
        speaker = tables["utt2spk"][utterance]
        new = {
            "wav.scp": path,
            "segments": f"{copy} 0.00 {seconds}",
            "utt2spk": f"{prefix}-{speaker}",
            "text": tables.get("text", {}).get(utterance),
            "utt2dur": seconds,
            "reco2dur": seconds,
            "reco2file_and_channel": f"{copy} A",
            "utt2lang": tables.get("utt2lang", {}).get(utterance),
            "utt2uniq": tables["utt2uniq"][utterance],
        }
        for name, value in new.items():
            if name in tables and value is not None:
                joined[name][copy] = value
        if speaker in tables.get("spk2gender", {}):
            joined["spk2gender"][f"{prefix}-{speaker}"] = tables["spk2gender"][speaker]
    return joined


def make_tables(options) -> None:
    """Write the data directory of the originals and their copies, `wav.scp` last."""
    tables, left_out = read_data_dir(options.data, features=False)
    say_left_out(left_out)
    without = (*FEATURES, "utt2warp", "spk2warp")  # of the speech as it was
    tables = {name: table for name, table in tables.items() if name not in without}
    uniq = {u: original_of(u, tables.get("utt2uniq", {})) for u in tables["utt2spk"]}
    made: dict[str, str] = {}
    for part in options.made:
        made |= read_table(part) if part.stat().st_size else {}
    joined = add_copies(tables | {"utt2uniq": uniq}, made)
    joined["spk2utt"] = invert(joined["utt2spk"])
    for name in sorted(joined, key=lambda name: name == "wav.scp"):
        write_table(options.out / name, joined[name])
    print(f"{options.out}: {len(joined['utt2spk'])} utterances, of {len(uniq)} of {options.data}")
    without = set(tables["utt2spk"]).difference(copy.partition("-")[2] for copy in made)
    if without:
        print(f"{len(without)} utterances cannot be decoded and have no copies, see the logs")
