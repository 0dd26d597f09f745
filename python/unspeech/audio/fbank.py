"""Log-FBANK features of audio, with kaldi-native-fbank or Kaldi's program.

The dither is added here and seeded by the utterance's name, so the features do not depend on the
number of jobs. The two programs agree to 1e-3, except where a band holds so little of a frame's
energy that Kaldi's FFT, in single precision, rounds it off: above 4 kHz in loud speech that was
recorded at 8 kHz, errors reach 0.02.
Source: Kaldi's `src/feat/feature-fbank.cc`, `src/featbin/compute-fbank-feats.cc`.
"""

import argparse
import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import kaldi_native_fbank
import numpy as np
from tqdm import tqdm

from unspeech.audio.decoding import wav_bytes
from unspeech.audio.utterances import AudioError, DataAudio
from unspeech.cli.errors import UnspeechError
from unspeech.cli.limits import Number
from unspeech.cli.processes import die_with_parent
from unspeech.files.atomic import atomic_write
from unspeech.files.text import read_lines
from unspeech.kaldi.archives import iterate_stream

# Kaldi's option, where kaldi-native-fbank keeps it, Kaldi's default, which it does not share, and
# the limits of a number.
_OPTIONS: dict[str, tuple[str, bool | int | float | str, str]] = {
    "sample-frequency": ("frame_opts.samp_freq", 16000.0, "[100, 1000000]"),
    "frame-length": ("frame_opts.frame_length_ms", 25.0, "[0.1, 10000]"),
    "frame-shift": ("frame_opts.frame_shift_ms", 10.0, "[0.1, 10000]"),
    "dither": ("frame_opts.dither", 1.0, "[0, 32768]"),
    "preemphasis-coefficient": ("frame_opts.preemph_coeff", 0.97, "[0, 1]"),
    "remove-dc-offset": ("frame_opts.remove_dc_offset", True, ""),
    "window-type": ("frame_opts.window_type", "povey", ""),
    "round-to-power-of-two": ("frame_opts.round_to_power_of_two", True, ""),
    "blackman-coeff": ("frame_opts.blackman_coeff", 0.42, "[0, 1]"),
    "snip-edges": ("frame_opts.snip_edges", True, ""),
    "num-mel-bins": ("mel_opts.num_bins", 23, "[3, 10000]"),
    "low-freq": ("mel_opts.low_freq", 20.0, "[0, 500000]"),
    "high-freq": ("mel_opts.high_freq", 0.0, "[-500000, 500000]"),
    "use-energy": ("use_energy", False, ""),
    "energy-floor": ("energy_floor", 0.0, "[0, inf)"),
    "raw-energy": ("raw_energy", True, ""),
    "htk-compat": ("htk_compat", False, ""),
    "use-log-fbank": ("use_log_fbank", True, ""),
    "use-power": ("use_power", True, ""),
}


def read_fbank_config(path: str | Path) -> dict[str, bool | int | float | str]:
    """Read options in Kaldi's format, `--name=value` a line with `#` comments.

    Returns: every option of `compute-fbank-feats` that shapes features, Kaldi's default where
        the file does not give one.
    Raises:
        UnspeechError: when the file is missing, or for an unknown option or an impossible value.
    """
    options = {name: default for name, (_, default, _) in _OPTIONS.items()}
    for number, line in enumerate(read_lines(path), start=1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        name, _, value = text.removeprefix("--").partition("=")
        name = name.strip().replace("_", "-")
        if name in ("allow-downsample", "allow-upsample"):
            continue  # recordings at another rate are always resampled
        if not text.startswith("--") or name not in options:
            raise UnspeechError(
                f"{path}:{number}: unknown option '{text}'; known: {', '.join(_OPTIONS)}"
            )
        options[name] = _value(name, value.strip(), f"{path}:{number}")
    rate = options["sample-frequency"]
    if rate != rate // 1 or rate * options["frame-shift"] < 1000:
        raise UnspeechError(
            f"{path}: sample-frequency must be a whole number, and frame-shift (milliseconds) at "
            "least a sample"
        )
    try:
        kaldi_native_fbank.OnlineFbank(_native_settings(options))
    except ValueError as error:
        raise UnspeechError(f"{path}: {error}") from None
    return options


def published_options(dim: int) -> dict[str, bool | int | float | str]:
    """The options of `conf/fbank.conf`: Kaldi's defaults, with another number of mel bins."""
    options = {name: default for name, (_, default, _) in _OPTIONS.items()}
    return options | {"num-mel-bins": dim}


def _native_settings(options: dict) -> kaldi_native_fbank.FbankOptions:
    settings = kaldi_native_fbank.FbankOptions()
    for name, (attribute, *_) in _OPTIONS.items():
        owner, _, field = attribute.rpartition(".")
        setattr(getattr(settings, owner) if owner else settings, field, options[name])
    settings.frame_opts.dither = 0.0
    return settings


def _value(name: str, text: str, where: str) -> bool | int | float | str:
    _, default, limits = _OPTIONS[name]
    try:
        if isinstance(default, bool):
            return {"true": True, "": True, "false": False}[text.lower()]
        return Number(type(default), limits)(text) if limits else text
    except argparse.ArgumentTypeError as error:
        raise UnspeechError(f"{where}: --{name} {error}") from None
    except KeyError:
        raise UnspeechError(f"{where}: --{name} takes true or false, not '{text}'") from None


def dithered(utterance: str, samples: np.ndarray, amplitude: float, seed: int) -> np.ndarray:
    """Add Gaussian noise and round to 16 bits.

    Args:
        utterance: its name and `seed` determine the noise.
        samples: (samples,) float32 in [-1, 1].
        amplitude: standard deviation of the noise, in steps of 16-bit audio.
    Returns:
        (samples,) int16.
    """
    scaled = samples.astype(np.float64) * 32768
    if amplitude:
        name = int.from_bytes(hashlib.blake2b(utterance.encode(), digest_size=8).digest())
        scaled += amplitude * np.random.default_rng([seed, name]).standard_normal(len(samples))
    return np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)


def native_fbank(
    waves: Iterable[tuple[str, np.ndarray]], options: dict
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (utterance, (frames, dim) float32) for (utterance, (samples,) int16), undithered."""
    settings = _native_settings(options)
    for utterance, wave in waves:
        computer = kaldi_native_fbank.OnlineFbank(settings)
        computer.accept_waveform(options["sample-frequency"], wave.astype(np.float32))
        computer.input_finished()
        frames = [computer.get_frame(i) for i in range(computer.num_frames_ready)]
        yield utterance, np.array(frames, np.float32).reshape(len(frames), computer.dim)


def kaldi_fbank(
    waves: Iterable[tuple[str, np.ndarray]], options: dict, program: str
) -> Iterator[tuple[str, np.ndarray]]:
    """As `native_fbank`, by Kaldi's `compute-fbank-feats` at the path `program`.

    Raises:
        UnspeechError: when the program ends with an error, which it says on stderr.
    """
    given = {**options, "dither": 0.0}
    command = [program, *(f"--{name}={_kaldi_text(value)}" for name, value in given.items())]
    child = subprocess.Popen(
        [*command, "ark:-", "ark:-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=die_with_parent,
    )
    problems: list[BaseException] = []

    def feed() -> None:
        try:
            with child.stdin as pipe:
                for utterance, wave in waves:
                    wav = wav_bytes(wave, int(options["sample-frequency"]))
                    pipe.write(utterance.encode() + b" " + wav)
        except BrokenPipeError:
            pass  # the program's status tells
        except BaseException as problem:
            problems.append(problem)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    try:
        yield from iterate_stream(child.stdout, program)
    finally:
        child.stdout.close()
        status = child.wait()
        feeder.join()
    if problems:
        raise problems[0]
    if status not in (0, 1):  # 1: no utterance gave a frame
        raise UnspeechError(f"{program} ended with status {status}; see its messages above")


def _kaldi_text(value: bool | int | float | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class FbankJob:
    """Features of some utterances of a data directory; what cannot be used is kept in `failed`.

    Attributes:
        failed: {utterance: AudioError} of the utterances without features.
        durations: {utterance: seconds} of those that could be decoded.
    """

    def __init__(self, audio: DataAudio, utterances: list[str], options: dict, seed: int) -> None:
        self.audio = audio
        self.failed: dict[str, AudioError] = {}
        self.durations: dict[str, float] = {}
        self._utterances = utterances
        self._options = options
        self._seed = seed

    def _waves(self) -> Iterator[tuple[str, np.ndarray]]:
        progress = tqdm(
            self.audio.read(self._utterances),
            total=len(self._utterances),
            unit="utt",
            disable=not sys.stderr.isatty(),
        )
        for utterance, samples in progress:
            if isinstance(samples, AudioError):
                self.failed[utterance] = samples
                continue
            self.durations[utterance] = len(samples) / self.audio.rate
            yield utterance, dithered(utterance, samples, self._options["dither"], self._seed)

    def features(self, program: str | None = None) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (utterance, (frames, dim) float32) of the utterances that can be used.

        Args:
            program: path of Kaldi's `compute-fbank-feats`; None: kaldi-native-fbank.
        """
        backend = (
            kaldi_fbank(self._waves(), self._options, program)
            if program
            else native_fbank(self._waves(), self._options)
        )
        for utterance, features in backend:
            problem = None
            if not len(features):
                problem = (
                    f"{self.durations[utterance]:.3f} s of audio is shorter than one frame of "
                    f"{self._options['frame-length']:g} ms"
                )
            elif not np.isfinite(features).all():
                problem = "its features are NaN or infinite"
            if problem:
                self.failed[utterance] = AudioError(self.audio.source, utterance, problem)
            else:
                yield utterance, features


def _write_lines(path: Path, table: dict[str, object]) -> None:
    with atomic_write(path) as file:
        file.writelines(f"{key} {value}\n" for key, value in table.items())
