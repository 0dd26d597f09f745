"""One audio file: decoded, with every check, or encoded as WAV."""

import io
import re
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import soundfile

from unspeech.audio.ogg import damage as damage_of_ogg

_BLOCK = 1 << 20  # samples decoded at a time, so that unused channels are never all in memory


def decode(
    file: str | BinaryIO, choose: Callable[[int], int | slice] = lambda count: 0
) -> tuple[np.ndarray, int, int]:
    """Decode an audio file, or a channel of it.

    Args:
        choose: given how many channels there are, says which one is wanted, from 0, or which ones
            by a slice; the first one, by default.
    Returns:
        (samples,) float32, or (samples, channels) of a slice; rate in Hz; and how many channels
        there are.
    Raises:
        ValueError: saying why it cannot be used; when it holds less than it declares, too.
    """
    try:
        with soundfile.SoundFile(file) as audio:
            wanted, blocks, count = choose(audio.channels), [], _BLOCK
            # Not until nothing comes: after damage, the last samples would be read once more.
            while count == _BLOCK:
                block = audio.read(_BLOCK, dtype="float32", always_2d=True)
                blocks.append(block[:, wanted].copy())
                count = len(block)
            rate, channels, declared = audio.samplerate, audio.channels, audio.frames
            kind, log = audio.format, audio.extra_info
    except soundfile.LibsndfileError as error:
        raise ValueError(f"cannot be decoded ({error.error_string})") from None
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: raw, as by its name
        raise ValueError(f"cannot be decoded ({error})") from None
    samples = np.concatenate(blocks)
    if not len(samples):
        raise ValueError("holds no audio")
    if kind == "OGG" and (found := _on_file(file, damage_of_ogg)):
        raise ValueError(found)
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
    if np.abs(samples).max() > LOUDEST:
        raise ValueError(
            f"samples of up to {np.abs(samples).max():g}; floats are expected to lie within ±1"
        )
    return samples, rate, channels


_UNKNOWN_LENGTH = 1 << 48  # frames; libsndfile gives the largest integer where none is declared
LOUDEST = 10  # a float file with more is scaled otherwise, or is no audio


def _too_few_bytes(file: str | BinaryIO, log: str, declared: int) -> bool:
    """Whether libsndfile has put right the size of the samples in a header.

    A header that was written before the size was known, to a pipe, has nearly the largest number
    there, of those with a sign or of all. Source: Kaldi's `src/feat/wave-reader.cc`.
    """
    sizes = [(int(said), int(found)) for said, found in _SIZE_IN_LOG.findall(log)]
    return any(
        found < said and not any(largest - 65536 <= said < largest + 4096 for largest in _LARGEST)
        for said, found in sizes
    )


_SIZE_IN_LOG = re.compile(
    r"^ *(?:data|SSND|Data Size|Riff size|riff) *: (\d+) \(should be (\d+)\)", re.MULTILINE
)
_LARGEST = (1 << 31, 1 << 32, 1 << 63, 1 << 64)


def _too_few_samples(file: str | BinaryIO, log: str, declared: int) -> bool:
    """Whether a NIST SPHERE file has fewer samples than its header says."""
    count = re.search(rb"sample_count -i (\d+)", _on_file(file, _begin_of))
    return count is not None and int(count[1]) > declared


def _begin_of(opened: BinaryIO) -> bytes:
    opened.seek(0)
    return opened.read(1024)


_CUT_SHORT = dict.fromkeys(("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"), _too_few_bytes)
_CUT_SHORT["NIST"] = _too_few_samples


def _on_file(file: str | BinaryIO, do: Callable[[BinaryIO], Any]) -> Any:
    """What a function of an open file says of one, be it open or a name."""
    if isinstance(file, str):
        with open(file, "rb") as opened:
            return do(opened)
    return do(file)


def wav_bytes(samples: np.ndarray, rate: int) -> bytes:
    """Encode (samples,) or (samples, channels) int16, or float in [-1, 1], as a 16-bit wav file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, "PCM_16", format="WAV")
    return file.getvalue()
