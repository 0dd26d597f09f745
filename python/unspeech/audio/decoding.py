"""One audio file: decoded, with every check, or encoded as WAV."""

import io
import re
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import soundfile

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
            wanted, blocks = choose(audio.channels), []
            # Until nothing comes: a read that is cut short leaves the rest of its array as it was.
            while len(block := audio.read(_BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block[:, wanted].copy())
            rate, channels, declared = audio.samplerate, audio.channels, audio.frames
            kind, log = audio.format, audio.extra_info
    except soundfile.LibsndfileError as error:
        raise ValueError(f"cannot be decoded ({error.error_string})") from None
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: raw, as by its name
        raise ValueError(f"cannot be decoded ({error})") from None
    samples = np.concatenate(blocks or [np.zeros(0, np.float32)])
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


def wav_bytes(samples: np.ndarray, rate: int) -> bytes:
    """Encode (samples,) or (samples, channels) int16, or float in [-1, 1], as a 16-bit wav file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, "PCM_16", format="WAV")
    return file.getvalue()
