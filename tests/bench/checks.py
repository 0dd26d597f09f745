"""Measure what a step checks of a large data directory before and after its work.

    python3 tests/bench/checks.py --utterances 1000000

makes a data directory of so many utterances, whose `wav.scp` names a file each (empty ones) and
whose `feats.scp` points into 32 archives, and calls what every step calls: begin_step with both as
inputs (keys), split_scp, same_utterances, finish_step, and begin_step again on the complete output.
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
set -euo pipefail
. "{root}/path.sh"
{line}
"""
STEPS = {
    "begin_step, keys of wav.scp and feats.scp": "begin_step out/feats.scp seed=1 -- data/wav.scp "
    "data/feats.scp -- out/feats.ark",
    "split_scp into 32": "split_scp data/feats.scp 32 out/split > /dev/null",
    "same_utterances": "cp data/feats.scp out; same_utterances out/feats.scp data/wav.scp "
    "out/feats.scp",
    "finish_step": "finish_step out/feats.scp",
    "begin_step, complete already": "begin_step out/feats.scp seed=1 -- data/wav.scp "
    "data/feats.scp -- out/feats.ark",
}


def make_data(place: Path, count: int) -> None:
    """Names as those of a corpus of talks; audio in folders of a thousand files."""
    names = [f"talk{n // 1000:05d}-utt{n:08d}" for n in range(count)]
    (place / "data").mkdir()
    for n, name in enumerate(names):
        folder = place / f"audio/{n // 1000:05d}"
        if n % 1000 == 0:
            folder.mkdir(parents=True)
        (folder / f"{name}.wav").touch()
    for archive in range(32):
        with (place / f"data/feats.{archive}.ark").open("wb") as file:
            file.truncate(count * 1000)
    wav = (f"{name} {place}/audio/{n // 1000:05d}/{name}.wav\n" for n, name in enumerate(names))
    (place / "data/wav.scp").write_text("".join(wav))
    feats = (
        f"{name} {place}/data/feats.{n * 32 // count}.ark:{n * 900}\n"
        for n, name in enumerate(names)
    )
    (place / "data/feats.scp").write_text("".join(feats))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--utterances", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        started = time.monotonic()
        make_data(place, options.utterances)
        print(f"making the data directory: {time.monotonic() - started:.1f} s", flush=True)
        total = 0.0
        for what, line in STEPS.items():
            started = time.monotonic()
            script = SCRIPT.format(root=ROOT, line=line)
            subprocess.run(["bash", "-c", script], cwd=place, check=True)
            seconds = time.monotonic() - started
            total += seconds
            print(f"{what}: {seconds:.1f} s", flush=True)
        print(f"{options.utterances} utterances, in all: {total:.1f} s")


if __name__ == "__main__":
    main()
