"""One audio file: decoded, with every check, or written as WAV.

python3 -m unspeech.audio_file --channel 1 stereo.flac > second.wav
"""

import os
import sys

import numpy as np

from unspeech.audio.decoding import decode, wav_bytes
from unspeech.cli.errors import UnspeechError, run_program
from unspeech.cli.limits import Number
from unspeech.cli.options import OptionParser


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument(
        "--channel", type=Number(int, "[0, inf)"), help="from 0; all if it is left out"
    )
    parser.add_argument("file", help="audio file of any kind")
    options = parser.parse_args()

    def choose(count: int) -> int | slice:
        if options.channel is None:
            return slice(None)
        if options.channel >= count:
            raise ValueError(f"no channel {options.channel} of {count}")
        return options.channel

    try:
        samples, rate, _ = decode(options.file, choose)
    except ValueError as error:
        raise UnspeechError(f"{options.file}: {error}") from None
    # soundfile would multiply by 32767, so that 16 bits would not stay what they are.
    integers = np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)
    with os.fdopen(sys.stdout.fileno(), "wb", closefd=False) as out:
        out.write(wav_bytes(integers, rate))


if __name__ == "__main__":
    run_program(main)
