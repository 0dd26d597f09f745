"""What rows beside the features are worth to a recogniser's network, in a minute or two a kind.

    PYTHONPATH=python python3 tests/bench/rows.py --data data/train --alignments exp/mono_ali \
      none none,removed statistics=exp/rows/train:exp/rows/test,removed statistics:20=…,removed

Training a recogniser for every kind of rows takes long, and its word error rate on a few speakers
is a coarse figure. So this trains a small TDNN to find the state of every third frame, as a chain
TDNN does, on most speakers of a data directory, and reports the cross-entropy (nats) and the rate
of right frames on the others, who are every fifth speaker. The way into the network is that of
Kaldi's recipes: three frames and the row under a fixed affine layer that is estimated like LDA.

A kind is `<name>=<i-vector dir>[:<i-vector dir of the others>]`, or a name alone for no rows.
`<name>:20` takes the first 20 columns. `,removed` removes the speaker's mean from the features,
`,utterance` that of the utterance. A chunk of 141 frames has one row, that of its middle, as in
`nnet3-chain-get-egs` and in decoding.

Alignments are `ali.*.gz` and `final.mdl` of a directory of Kaldi's; `ali-to-pdf` has to be on PATH.
Sources: Kaldi's `src/nnet2/get-feature-transform.cc`; `egs/wsj/s5/steps/nnet3/chain/train.py`.
"""

import argparse
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from unspeech.kaldi.archives import iterate_arrays
from unspeech.kaldi.tables import read_table

CHUNK = 141  # frames that a row stands for
STRIDE = 3  # frames from one output to the next
MARGIN = 13  # frames that the network sees before and after an output
BATCH = 32
WITHIN_CLASS_FACTOR = 1e-4  # Kaldi's default


@dataclass
class Chunks:
    """Pieces of utterances.

    Attributes:
        frames: (chunks, CHUNK + 2 * MARGIN - 2, dim) features.
        states: (chunks, CHUNK / STRIDE), -1 where there is no frame.
        rows: (chunks, columns); no columns without rows.
    """

    frames: np.ndarray
    states: np.ndarray
    rows: np.ndarray


def read_alignments(directory: Path) -> dict[str, np.ndarray]:
    """The state (pdf) of each frame."""
    files = " ".join(str(path) for path in sorted(directory.glob("ali.*.gz")))
    command = f"ali-to-pdf {directory}/final.mdl 'ark:gunzip -c {files}|' ark,t:-"
    text = subprocess.run(command, shell=True, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = (line.split() for line in text.splitlines())
    return {name: np.array(states, int) for name, *states in lines}


def spliced(frames, rows):
    """(…, frames, dim) to (…, frames - 2, 3 * dim + columns): each with its neighbours and row."""
    parts = [frames[:, :-2], frames[:, 1:-1], frames[:, 2:]]
    rows = tf.repeat(rows[:, None], tf.shape(parts[0])[1], axis=1)
    return tf.concat([*parts, rows], axis=-1)


def feature_transform(chunks: Chunks) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and mean of the layer that networks of Kaldi's recipes begin with."""
    inputs = spliced(tf.constant(chunks.frames), tf.constant(chunks.rows))
    inputs = inputs[:, MARGIN - 1 :: STRIDE][:, : CHUNK // STRIDE].numpy()
    known = chunks.states >= 0
    inputs, states = inputs[known].astype(np.float64), chunks.states[known]
    mean = inputs.mean(axis=0)
    inputs -= mean
    counts = np.bincount(states)
    sums = np.zeros((len(counts), inputs.shape[1]))
    np.add.at(sums, states, inputs)
    means = sums / np.sqrt(np.maximum(counts, 1))[:, None]
    between = means.T @ means / len(inputs)
    values, axes = np.linalg.eigh(inputs.T @ inputs / len(inputs) - between)
    whiten = (axes / np.sqrt(np.maximum(values, 1e-8 * values[-1]))).T
    ratios, turn = np.linalg.eigh(whiten @ between @ whiten.T)
    scale = np.sqrt((ratios + WITHIN_CLASS_FACTOR) / (1 + ratios))
    return (scale[:, None] * (turn.T @ whiten)).astype(np.float32), mean.astype(np.float32)


def network(chunks: Chunks, states: int, channels: int) -> keras.Model:
    """From spliced and transformed frames to states, for every third frame."""
    inputs = keras.Input((None, 3 * chunks.frames.shape[2] + chunks.rows.shape[1]))
    out = inputs
    for kernel, stride in ((1, 1), (3, 1), (3, 1), (3, STRIDE), (3, 1), (3, 1), (3, 1)):
        out = layers.Conv1D(channels, kernel, strides=stride, use_bias=False)(out)
        out = layers.ReLU()(layers.BatchNormalization(momentum=0.95, epsilon=1e-5)(out))
    return keras.Model(inputs, layers.Conv1D(states, 1)(out))


def cross_entropy(logits, states):
    """Sum over the frames that there are, how many they are, and how many of them are right."""
    known = tf.cast(states >= 0, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(states, 0), logits)
    right = tf.cast(tf.argmax(logits, -1, states.dtype) == states, tf.float32)
    return tf.reduce_sum(losses * known), tf.reduce_sum(known), tf.reduce_sum(right * known)


def train_and_test(
    train: Chunks, test: Chunks, seed: int, epochs: int, channels: int, noise: float
):
    """Cross-entropy and rate of right frames on `test`."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    matrix, mean = (tf.constant(part) for part in feature_transform(train))
    noises = tf.constant(noise * train.rows.std(axis=0))
    model = network(train, int(max(train.states.max(), test.states.max())) + 1, channels)
    steps = epochs * (len(train.frames) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=2e-3, warmup_steps=min(50, steps // 4)
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=0.02)

    @tf.function(reduce_retracing=True)
    def logits_of(frames, rows, training):
        inputs = tf.einsum("ctd,ed->cte", spliced(frames, rows) - mean, matrix)
        return model(inputs, training=training)[:, : CHUNK // STRIDE]

    @tf.function(reduce_retracing=True)
    def step(frames, rows, states):
        rows += noises * tf.random.normal(tf.shape(rows))
        with tf.GradientTape() as tape:
            total, count, _ = cross_entropy(logits_of(frames, rows, True), states)
            loss = total / count
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    for _ in range(epochs):
        order = rng.permutation(len(train.frames))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            some = np.sort(order[start : start + BATCH])
            step(train.frames[some], train.rows[some], train.states[some])
    sums = np.zeros(3)
    for start in range(0, len(test.frames), BATCH):
        part = slice(start, start + BATCH)
        logits = logits_of(test.frames[part], test.rows[part], False)
        sums += [float(value) for value in cross_entropy(logits, test.states[part])]
    return sums[0] / sums[1], 100 * sums[2] / sums[1]


class Corpus:
    """Features, states and speakers of a data directory, and who is tested on."""

    def __init__(self, data: Path, alignments: Path) -> None:
        self.states = read_alignments(alignments)
        self.features = dict(iterate_arrays(data / "feats.scp"))
        self.utt2spk = read_table(data / "utt2spk")
        self.names = [name for name in self.features if name in self.states]
        speakers = sorted({self.utt2spk[name] for name in self.names})
        self.others = set(speakers[::5])

    def means(self, of: str) -> dict[str, np.ndarray]:
        """What is removed from the features of each utterance."""
        if of == "kept":
            return dict.fromkeys(self.names, 0)
        groups: dict[str, list[str]] = {}
        for name in self.names:
            groups.setdefault(self.utt2spk[name] if of == "removed" else name, []).append(name)
        found = {}
        for members in groups.values():
            mean = np.concatenate([self.features[name] for name in members]).mean(axis=0)
            found |= dict.fromkeys(members, mean)
        return found

    def chunks(self, others: bool, mean: str, rows: dict[str, np.ndarray]) -> Chunks:
        """Pieces of the test's utterances, or of all that are trained on."""
        means, frames, states, chosen = self.means(mean), [], [], []
        for name in self.names:
            if (self.utt2spk[name] in self.others) != others:
                continue
            own, length = self.features[name] - means[name], len(self.features[name])
            own = np.pad(own, ((MARGIN, MARGIN + CHUNK), (0, 0)), mode="edge")
            for start in range(0, length, CHUNK):
                frames.append(own[start : start + CHUNK + 2 * MARGIN - 2])
                piece = self.states[name][start : start + CHUNK : STRIDE]
                states.append(np.pad(piece, (0, CHUNK // STRIDE - len(piece)), constant_values=-1))
                if rows:
                    middle = (start + min(CHUNK, length - start) // 2) // 10
                    chosen.append(rows[name][min(middle, len(rows[name]) - 1)])
        no_rows = np.zeros((len(frames), 0))
        return Chunks(
            np.array(frames, np.float32),
            np.array(states, np.int32),
            np.array(chosen if rows else no_rows, np.float32),
        )


def read_rows(places: str, columns: str) -> list[dict[str, np.ndarray]]:
    """Rows to train with, and of the others."""
    parts = (places.split(":") * 2)[:2] if places else ["", ""]
    width = slice(int(columns) if columns else None)
    tables = [
        dict(iterate_arrays(Path(part, "ivector_online.scp"))) if part else {} for part in parts
    ]
    return [{name: rows[:, width] for name, rows in table.items()} for table in tables]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", required=True, type=Path, help="data directory with features")
    add("--alignments", required=True, type=Path, help="directory of Kaldi's alignments")
    add("--seed", type=int, default=1, help="of weights and order (1)")
    add("--epochs", type=int, default=2, help="passes over the training speakers (2)")
    add("--channels", type=int, default=96, help="of each layer (96)")
    add("--noise", type=float, default=0.0, help="added to rows in training, in deviations (0)")
    add("kinds", nargs="+", help="see above")
    options = parser.parse_args()

    corpus = Corpus(options.data, options.alignments)
    print(f"seed {options.seed}; tested on {len(corpus.others)} speakers", flush=True)
    print("| rows | mean | columns | cross-entropy | right, % | seconds |\n" + "|---" * 6 + "|")
    for kind in options.kinds:
        began = time.monotonic()
        what, _, mean = kind.partition(",")
        name, _, places = what.partition("=")
        mean = mean or "kept"
        own, other = read_rows(places, name.partition(":")[2])
        train, test = corpus.chunks(False, mean, own), corpus.chunks(True, mean, other)
        how = (options.epochs, options.channels, options.noise)
        scores = train_and_test(train, test, options.seed, *how)
        cells = [name, mean, train.rows.shape[1], f"{scores[0]:.4f}", f"{scores[1]:.2f}"]
        cells.append(f"{time.monotonic() - began:.0f}")
        print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
