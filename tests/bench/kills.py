"""Kill the whole chain at random moments and resume it; the results must be those of a quiet run.

    python3 tests/bench/kills.py --kills 20 --seed 1

runs run.sh on a tiny corpus of made-up voices, once undisturbed, then again and again: TERM and
KILL go to run.sh, INT to its process group as from a terminal. After each kill nothing of the run
may be left running; each time the chain comes to its end, every file is compared to the bit, but
for logs, times and pictures with them.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import yaml
from helpers.data import write_corpus
from helpers.models import RUN_SETTINGS
from helpers.shell import copy_checkout

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
# What holds times of day or how long things took, or is made of what does.
UNLIKE = {
    *("log", "tensorboard", "checkpoints", "split", "train_log.jsonl", "report.html"),
    *("clusters.json", "graph", "members.npz"),
}


def start(place: Path) -> subprocess.Popen:
    corpora = ["--corpus", "corpora/train", "--eval-corpus", "corpora/test"]
    return subprocess.Popen(
        [place / "run.sh", *corpora, "--config", "tiny.yaml", "--nj", "2", "--dir", "exp/run"],
        cwd=place,
        env={**os.environ, "KALDI_ROOT": ""},
        stdout=subprocess.DEVNULL,
        stderr=(place / "stderr").open("w"),
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def results(place: Path) -> dict[str, bytes]:
    """Every file of a finished run that must not differ."""
    directory = place / "exp/run"
    files = {}
    for path in sorted(directory.rglob("*")):
        parts = path.relative_to(directory).parts
        if path.is_file() and not any(p in UNLIKE or p.startswith(".") for p in parts):
            files["/".join(parts)] = path.read_bytes()
    return files


def at_work(place: Path) -> list[str]:
    """Processes whose working directory is the place."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = Path(os.readlink(process / "cwd")) == place
            if inside and "State:\tZ" not in (process / "status").read_text():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def stage_of(place: Path) -> str:
    """The last stage that is complete, for the table."""
    log = place / "exp/run/log/stages.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return json.loads(lines[-1])["name"] if lines else "none"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the moments and signals")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        place = copy_checkout(Path(folder).resolve() / "checkout")
        write_corpus(place / "corpora/train", speakers=4, utterances=4)
        write_corpus(place / "corpora/test", speakers=3, utterances=3)
        (place / "tiny.yaml").write_text(yaml.safe_dump(RUN_SETTINGS | {"num_steps": 10}))

        started = time.monotonic()
        assert start(place).wait() == 0, (place / "stderr").read_text()
        length = time.monotonic() - started
        expected = results(place)
        print(f"Undisturbed: {length:.0f} s, {len(expected)} files to compare", flush=True)

        killed, bad, ends = 0, 0, 0
        while killed < options.kills or ends == 0:
            shutil.rmtree(place / "exp/run")
            while True:
                process = start(place)
                moment = rng.uniform(0, length / 2) if killed < options.kills else 10 * length
                try:
                    status = process.wait(moment)
                    break
                except subprocess.TimeoutExpired:
                    pass
                number = SIGNALS[killed % len(SIGNALS)]
                if number == signal.SIGINT:
                    os.killpg(process.pid, number)
                else:
                    process.send_signal(number)
                process.wait()
                killed += 1
                asked = time.monotonic()
                while at_work(place) and time.monotonic() < asked + 30:
                    time.sleep(0.1)
                left = at_work(place)
                bad += bool(left)
                after = f"after {moment:.1f} s, last stage complete: {stage_of(place)}"
                print(f"{killed:3d} {number.name} {after}; left running: {left}", flush=True)
            ends += 1
            if status:
                print(f"FAILED: {(place / 'stderr').read_text()}", flush=True)
                bad += 1
                continue
            found = results(place)
            names = sorted(set(found) | set(expected))
            differing = [name for name in names if found.get(name) != expected.get(name)]
            bad += bool(differing)
            print(f"End {ends}: {len(names)} files, differing: {differing}", flush=True)
        print(f"{killed} kills, {ends} ends, {bad} of them not as they should be")
        sys.exit(bad > 0)


if __name__ == "__main__":
    main()
