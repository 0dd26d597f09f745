"""How fast training, sampling and extraction are, each beside a naive way in the same run.

    PYTHONPATH=python python3 tests/bench/speed.py [--config conf/speaker.yaml] [--short data/fsdd]
    PYTHONPATH=python python3 tests/bench/speed.py --statistics data/voices

The second form times the commands of conf/statistics.yaml on a data directory with features:
training on all cores, extraction on one. Seconds of the processors are those that other work on the
machine leaves as they are. The first form times networks; naive is
- training: to embed both windows of every pair separately;
- sampling: to draw pair by pair, in a loop that takes an utterance's features from memory, as the
  original program does, or from its archive;
- extraction: one call of the network an utterance; and the paper's encoder beside that of --config.
What is compared takes turns, and its median counts.
"""

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from unspeech.embedding.embedder import Embedder
from unspeech.embedding.rows import RowOptions
from unspeech.files.settings import read_yaml
from unspeech.kaldi.archives import ArkWriter, read_array
from unspeech.kaldi.corpus import Corpus
from unspeech.kaldi.features import load_corpus
from unspeech.kaldi.tables import read_table
from unspeech.network.config import FRAMES_A_SECOND, Config
from unspeech.network.config_files import make_config
from unspeech.network.model import UnspeechModel
from unspeech.training.distribution import Replicas
from unspeech.training.sampling import Batch, ContextSampler
from unspeech.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]
UTTERANCES, FRAMES = 100_000, 400  # of the corpus to sample from
STORED = 2000  # utterances that it really has; the 100,000 are spread over them
REPEATS = 50  # batches drawn for a measurement
LONG_FRAMES, LONGS, SHORTS = 3000, 16, 600  # utterances to embed


def medians(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each way; a first round, in which functions are compiled, is left out."""
    seconds = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(found[1:]) for name, found in seconds.items()}


def noise(lengths: list[int], dim: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(12, 3, (length, dim)).astype(np.float32) for length in lengths]


def windows_of_pairs(batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The left and the right window of every pair of a batch, and whether it is positive."""
    size, contexts = batch.contexts.shape[:2]
    rows = batch.contexts.reshape(size * contexts, *batch.contexts.shape[2:])
    negatives = [batch.negative_target(i) for i in range(len(batch.negatives))]
    lefts = np.concatenate([np.repeat(batch.targets, contexts, axis=0), negatives])
    rights = np.concatenate([np.arange(size * contexts), batch.negatives[:, 1]])
    return lefts, rows[rights], np.arange(len(lefts)) < size * contexts


def timed(command: list[object], **environment: str) -> tuple[float, float]:
    """Seconds, and seconds of the processors, that a command takes."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    began, before = time.perf_counter(), used()
    words = [str(word) for word in command]
    subprocess.run(words, check=True, env=os.environ | environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began, used() - before


def measure_statistics(data: Path, directory: Path) -> None:
    step, model = ROOT / "steps_unspeech/train.sh", directory / "model"
    speech = sum(map(int, read_table(data / "utt2num_frames").values())) / FRAMES_A_SECOND
    wall, processor = timed([step, "--config", ROOT / "conf/statistics.yaml", data, model])
    print(
        f"training on {speech / 3600:.2f} hours: {wall:.1f} s, {processor:.1f} of the processors",
        flush=True,
    )
    for average in ("none", "running"):
        command = ["taskset", "-c", "0", "python3", "-m", "unspeech.embed", "--period", "10"]
        command += ["--causal", "true", "--average", average, "--feats", data / "feats.scp"]
        command += ["--model", model, "--ark", directory / "ivector_online.ark"]
        wall, processor = timed(command, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        print(
            f"extraction on one core, period 10, average {average}, start and files included: "
            f"{wall:.1f} s, {speech / wall:.0f} times real time; {processor:.1f} s of the "
            f"processor, {speech / processor:.0f} times",
            flush=True,
        )


def measure_training(config: Config, directory: Path) -> float:
    """Returns seconds of a step."""
    corpus = Corpus.in_memory([f"u{i}" for i in range(64)], noise([FRAMES] * 64, config.feat_size))
    replicas = Replicas(tf.distribute.get_strategy())
    trainer = Trainer(config, corpus, corpus.utterances, directory, replicas)
    model, batch = trainer.network.model, trainer.sampler.batch(1)
    lefts, rights, positive = windows_of_pairs(batch)
    labels = positive.astype(np.float32)
    seed = tf.constant([1, 1])

    @tf.function
    def naive_step(lefts, rights, labels):
        with tf.GradientTape() as tape:
            left, right = model.embed_batch(lefts, rights[:, None], dropout_seed=seed)
            logits = model.pair_logits(left[:, 0], right[:, 0])
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))
            total = loss + config.l2_reg * model.l2_penalty()
        weights = model.trainable_variables
        gradients = tape.gradient(total, weights)
        gradients = [tf.clip_by_norm(g, config.gradient_clipping) for g in gradients]
        trainer.network.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return loss

    windows = [tf.constant(part) for part in batch.windows]
    lefts, rights, labels = map(tf.constant, (lefts, rights, labels))
    negatives, groups = tf.constant(batch.negatives), tf.constant(batch.groups)
    found = medians(
        {
            "ours": lambda: float(trainer.network.train_step(windows, negatives, groups, seed)[0]),
            "naive": lambda: float(naive_step(lefts, rights, labels)),
        },
        rounds=3,
    )
    pairs = len(positive)
    print(
        f"training {config.embedding_transformation}: {pairs / found['ours']:.1f} pairs a second, "
        f"both windows of every pair {pairs / found['naive']:.1f}; "
        f"ratio {found['naive'] / found['ours']:.2f}",
        flush=True,
    )
    return found["ours"]


def measure_sampling(config: Config, step_seconds: float, directory: Path) -> None:
    with ArkWriter(directory / "feats.ark") as writer:
        for i, features in enumerate(noise([FRAMES] * STORED, config.feat_size)):
            writer.write(f"u{i}", features)
    entries = list(read_table(directory / "feats.scp").values())
    lines = [f"u{i:06d} {entries[i % STORED]}\n" for i in range(UTTERANCES)]
    scp = directory / "corpus.scp"
    scp.write_text("".join(lines))
    table = read_table(scp)
    corpus = load_corpus(scp, config.feat_size)
    sampler = ContextSampler(corpus, np.arange(UTTERANCES), config, 0)
    stored = [read_array("", entry, scp) for entry in entries]
    features = {utterance: stored[i % STORED] for i, utterance in enumerate(table)}

    def repeat(draw: Callable[[], object]) -> None:
        for _ in range(REPEATS):  # each is dropped before the next, as training does
            draw()

    def from_memory(utterance: str) -> np.ndarray:
        return features[utterance]

    def from_archive(utterance: str) -> np.ndarray:
        return read_array(utterance, table[utterance], scp)

    def loop(read: Callable[[str], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        rng, utterances = np.random.default_rng(1), corpus.utterances
        lefts, rights = [], []

        def cut(length: int) -> np.ndarray:
            whole = read(utterances[rng.integers(UTTERANCES)])
            start = rng.integers(len(whole) - length + 1)
            return np.array(whole[start : start + length])

        for _ in range(config.batch_size):
            row = np.split(cut(config.span), config.contexts + 1)
            target = row.pop(config.left_contexts)
            lefts += [target] * len(row)
            rights += row
            for _ in range(config.negative_samples):
                lefts.append(cut(config.window_length))
                rights.append(cut(config.window_neg_length))
        return np.stack(lefts), np.stack(rights)

    steps = iter(range(10**9))
    found = medians(
        {
            "ours": partial(repeat, lambda: sampler.batch(next(steps))),
            "memory": partial(repeat, lambda: loop(from_memory)),
            "archive": partial(repeat, lambda: loop(from_archive)),
        },
        rounds=5,
    )
    ours, memory, archive = (found[name] / REPEATS for name in ("ours", "memory", "archive"))
    windows = 2 * config.batch_size * (config.contexts + config.negative_samples)
    print(
        f"sampling from {UTTERANCES:,} utterances, windows of pairs: {windows / ours:,.0f} a "
        f"second; loop over utterances in memory {windows / memory:,.0f}, ratio "
        f"{memory / ours:.1f}; loop that reads them {windows / archive:,.0f}, ratio "
        f"{archive / ours:.1f}; {100 * ours / step_seconds:.2f} % of a training step",
        flush=True,
    )


def measure_extraction(config: Config, short: str | None) -> None:
    model = UnspeechModel(config)
    if short:
        corpus = load_corpus(short, config.feat_size)
        shorts = [corpus.features(i) for i in range(min(SHORTS, len(corpus.utterances)))]
    else:
        shorts = noise(list(np.random.default_rng(1).integers(25, 65, SHORTS)), config.feat_size)
    length, options = config.window_length, RowOptions()
    embed = tf.function(model.embed_targets, reduce_retracing=True)

    def naive(utterances: list[np.ndarray]) -> None:
        for features in utterances:
            if len(features) < length:
                features = np.pad(features, ((0, length - len(features)), (0, 0)), mode="wrap")
            starts = np.arange(0, len(features) - length + 1, options.genfeat_stride)
            embed(tf.constant(features[starts[:, None] + np.arange(length)])).numpy()

    embedder = Embedder(model, options)

    def ours(utterances: list[np.ndarray]) -> None:
        for _ in embedder.rows((str(i), features) for i, features in enumerate(utterances)):
            pass

    longs = noise([LONG_FRAMES] * LONGS, config.feat_size)
    for name, utterances in (("short", shorts), ("long", longs)):
        ways = {"ours": partial(ours, utterances), "naive": partial(naive, utterances)}
        found = medians(ways, rounds=3)
        seconds = sum(map(len, utterances)) / FRAMES_A_SECOND
        print(
            f"extraction {config.embedding_transformation}, stride {options.genfeat_stride}, "
            f"{len(utterances)} {name} utterances of {seconds / len(utterances):.2f} s: "
            f"{seconds / found['ours']:.0f} times real time, a call an utterance "
            f"{seconds / found['naive']:.0f}; ratio {found['naive'] / found['ours']:.2f}",
            flush=True,
        )


def measure_encoders(ours: Config, paper: Config) -> None:
    longs = noise([LONG_FRAMES] * LONGS, paper.feat_size)
    seconds = LONGS * LONG_FRAMES / FRAMES_A_SECOND

    def embed(config: Config) -> Callable[[], object]:
        embedder = Embedder(UnspeechModel(config), RowOptions())
        return lambda: deque(embedder.rows(("u", features) for features in longs), maxlen=0)

    found = medians({"ours": embed(ours), "paper": embed(paper)}, rounds=3)
    print(
        f"extraction, stride {RowOptions().genfeat_stride}: {ours.embedding_transformation} "
        f"{seconds / found['ours']:.0f} times real time, {paper.embedding_transformation} "
        f"{seconds / found['paper']:.0f}; ratio {found['paper'] / found['ours']:.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="settings; the paper's if not given")
    parser.add_argument("--short", help="data directory of short utterances; else made up")
    parser.add_argument("--statistics", type=Path, help="time the statistics model on these data")
    options = parser.parse_args()
    if options.statistics:
        with tempfile.TemporaryDirectory() as name:
            measure_statistics(options.statistics, Path(name))
        return
    config = make_config(read_yaml(options.config) if options.config else {}, "bench")
    # The paper's way of drawing pairs, whatever the encoder.
    paper = Config()
    with tempfile.TemporaryDirectory() as name:
        step = measure_training(paper, Path(name))
        measure_sampling(paper, step, Path(name))
    measure_extraction(config, options.short)
    measure_encoders(config, paper)


if __name__ == "__main__":
    main()
