"""How fast windows come out of archives on disk, and how much memory a large corpus takes.

    PYTHONPATH=python python3 tests/bench/input.py [--gigabytes 3] [--dir /tmp]

First the memory that a million utterances take: their scp points at each place of the archives
many times, so that the index is that of a million and the archives are small. Then the rate of
random windows from the archives, pages warm, beside that from the same features in memory.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from unspeech.kaldi.archives import ArkWriter
from unspeech.kaldi.copies import recordings_of
from unspeech.kaldi.corpus import Corpus
from unspeech.kaldi.features import load_corpus
from unspeech.kaldi.tables import read_table
from unspeech.network.config import Config
from unspeech.training.groupings import split_heldout, usable_utterances
from unspeech.training.sampling import ContextSampler

DIM, FRAMES, ARCHIVES = 40, 400, 4
MILLION = 1_000_000
KINDS = ("random windows", "windows of a sampler's batches")
BYTES = FRAMES * DIM * 4  # of an utterance


def write_archives(directory: Path, gigabytes: float) -> list[str]:
    """Write the archives; returns the lines of their scp."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(8 * FRAMES, DIM)).astype(np.float32)
    count = int(gigabytes * 1e9 / BYTES / ARCHIVES)
    lines = []
    for job in range(ARCHIVES):
        with ArkWriter(directory / f"{job}.ark") as writer:
            for i, shift in enumerate(rng.integers(7 * FRAMES, size=count)):
                writer.write(f"{job}-{i:08d}", noise[shift : shift + FRAMES])
        lines += [f"{u} {entry}" for u, entry in read_table(directory / f"{job}.scp").items()]
    return lines


def write_scp(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def rates(corpora: dict[str, Corpus], seconds: float, rounds: int) -> dict[str, tuple]:
    """Windows a second, of each kind, as medians over rounds in which corpora take turns.

    Seconds are of the process's own time, so that other load of the machine matters less.
    """
    config = Config()
    found = {name: ([], []) for name in corpora}
    for turn in range(rounds):
        for name, corpus in corpora.items():
            rng = np.random.default_rng(turn)
            sampler = ContextSampler(corpus, np.arange(len(corpus.utterances)), config, turn)

            def windows(step, corpus=corpus, rng=rng):
                utterances = rng.integers(len(corpus.utterances), size=160)
                corpus.windows(utterances, rng.integers(FRAMES - 64, size=160), 64)

            def batch(step, sampler=sampler):
                sampler.batch(step)

            for rate, draw in zip(found[name], (windows, batch), strict=True):
                began, step = time.process_time(), 0
                while time.process_time() - began < seconds:
                    draw(step)
                    step += 1
                rate.append(160 * step / (time.process_time() - began))
    return {name: tuple(map(statistics.median, both)) for name, both in found.items()}


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_million(scp: str) -> None:
    """Load a corpus and draw from it, in a process of its own."""
    began = time.monotonic()
    corpus = load_corpus(scp, DIM)
    loaded = time.monotonic() - began
    recordings = recordings_of(corpus.utterances, scp)
    train, _ = split_heldout(usable_utterances(corpus, Config()), recordings, Config())
    sampler = ContextSampler(corpus, train, Config(), 0)
    at_load = peak_megabytes()
    for step in range(5000):
        sampler.batch(step)
    print(
        f"{len(corpus.utterances)} utterances: read and checked in {loaded:.0f} s; most resident "
        f"memory {at_load:.0f} MB then, {peak_megabytes():.0f} MB after 800,000 windows"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=3)
    parser.add_argument("--seconds", type=float, default=1, help="of each of five measurements")
    parser.add_argument("--dir", default="/tmp")
    parser.add_argument(
        "--million", help="measure the memory that this scp takes, and nothing else"
    )
    options = parser.parse_args()
    if options.million:
        measure_million(options.million)
        return
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        directory = Path(name)
        lines = write_archives(directory, options.gigabytes)
        repeated = [f"u{i:07d} {lines[i % len(lines)].split()[1]}" for i in range(MILLION)]
        scp = write_scp(directory / "million.scp", repeated)
        subprocess.run([sys.executable, __file__, "--million", scp], check=True)

        corpus = load_corpus(write_scp(directory / "feats.scp", lines), DIM)
        matrices = [corpus.features(i) for i in range(len(corpus.utterances))]
        memory = Corpus.in_memory(corpus.utterances, matrices)
        found = rates({"memory": memory, "archives": corpus}, options.seconds, 5)
        for kind, rate, base in zip(KINDS, found["archives"], found["memory"], strict=True):
            print(
                f"{kind} of {options.gigabytes:g} GB: {rate:.0f} a second from archives, "
                f"{base:.0f} from memory; ratio {rate / base:.2f}"
            )


if __name__ == "__main__":
    main()
