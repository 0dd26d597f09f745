"""How long the checks of a large data directory take: reading, checking and importing its tables.

    . ./path.sh; python3 tests/bench/tables.py --utterances 1000000

Makes a data directory of so many lines in utt2spk, wav.scp, segments and text (transcripts of 12
words), and prints the seconds of each reader and of the whole import, written files included.
"""

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from unspeech.audio.corpus import make_data_dir, read_data_dir
from unspeech.audio.decoding import wav_bytes
from unspeech.audio.utterances import read_segments
from unspeech.cli.errors import run_program
from unspeech.cli.limits import COUNT
from unspeech.cli.options import OptionParser
from unspeech.kaldi.tables import read_table


def make(data: Path, utterances: int) -> None:
    """A data directory of so many utterances, each from a recording of its own."""
    data.mkdir()
    (data / "a.wav").write_bytes(wav_bytes(np.zeros(16000, np.int16), 16000))
    words = "the quick brown fox jumps over the lazy dog again and again"
    lines = {
        "wav.scp": "rec{0:09d} a.wav\n",
        "segments": "spk{1:06d}-{0:09d} rec{0:09d} 0.00 0.50\n",
        "utt2spk": "spk{1:06d}-{0:09d} spk{1:06d}\n",
        "text": "spk{1:06d}-{0:09d} " + words + "\n",
    }
    for name, line in lines.items():
        with (data / name).open("w") as file:
            file.writelines(line.format(i, i // 100) for i in range(utterances))


def timed(what: str, work: Callable[[], object]) -> None:
    """Print the seconds of some work, and those that the processor was busy with it."""
    began, busy = time.perf_counter(), time.process_time()
    work()
    took, busy = time.perf_counter() - began, time.process_time() - busy
    print(f"{what:<24}{took:8.1f} s, {busy:6.1f} s of a processor", flush=True)


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--utterances", type=COUNT, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        make(data, options.utterances)
        for name in ("utt2spk", "wav.scp", "segments"):
            timed(name, lambda name=name: read_table(data / name))
        timed("text", lambda: read_table(data / "text", empty_values=True))
        recordings = read_table(data / "wav.scp")
        timed("segments, their times", lambda: read_segments(data, recordings))
        timed("all checks", lambda: read_data_dir(data))
        timed("import, with writing", lambda: make_data_dir(data, Path(folder, "out")))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{options.utterances:,} utterances, {memory} MB at most")


if __name__ == "__main__":
    run_program(main)
