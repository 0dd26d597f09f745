"""A model in training: its steps, held-out scores, checkpoints and reports."""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tqdm import tqdm

from unspeech.cli.errors import UnspeechError
from unspeech.embedding.row_statistics import write_row_statistics
from unspeech.files.text import read_lines
from unspeech.kaldi.alignments import Unit
from unspeech.kaldi.features import Corpus
from unspeech.kaldi.tables import atomic_write
from unspeech.network.config import Config
from unspeech.network.model import UnspeechModel, finish_model, load_weights, save_weights
from unspeech.training.augmentation import augment
from unspeech.training.distribution import (
    LOST,
    Replicas,
    apply_gradients,
    gather,
    join_replicas,
    mean_gradients,
    share,
)
from unspeech.training.objectives import OBJECTIVES, Taught
from unspeech.training.sampling import (
    Batch,
    ContextSampler,
    split_heldout,
    usable_utterances,
)

WARMUP = 0.05  # share of the steps in which a cosine schedule rises
LEAST_RATE = 0.01  # where it ends, as a share of learn_rate
HELDOUT_TARGETS = 256  # targets that the held-out loss is computed on, the same at each report
TRAIN_STREAM, HELDOUT_STREAM = 0, 1


class Trainer:
    """One model in training: its step, its held-out loss, its checkpoints.

    Args:
        config: settings.
        corpus: features.
        recordings: the recording of each utterance.
        directory: model directory.
        replicas: the devices to train on.
        speakers: the speaker of each utterance, to draw negative pairs within, or None.
        units: units of each utterance, to be the windows, or None.
        voices: what each utterance shares its context with, or None, see `ContextSampler`.
    """

    def __init__(
        self,
        config: Config,
        corpus: Corpus,
        recordings: list[str],
        directory: Path,
        replicas: Replicas,
        speakers: list[str] | None = None,
        units: list[list[Unit]] | None = None,
        voices: list[str] | None = None,
    ) -> None:
        self.config, self.directory, self.replicas = config, directory, replicas
        if config.batch_size % replicas.count:
            raise UnspeechError(
                f"batch_size {config.batch_size} cannot be shared among {replicas.count} devices; "
                "take a multiple of their number"
            )
        if config.jit_compile and replicas.count > 1:
            raise UnspeechError("jit_compile: XLA trains on one device only; set it to false")
        self.objective = OBJECTIVES.get(config.objective)
        if self.objective is None:
            raise UnspeechError(
                f"objective: there is no '{config.objective}'; there are: {', '.join(OBJECTIVES)}"
            )
        usable = usable_utterances(corpus, config, speakers, units, voices)
        self.unused = np.flatnonzero(~usable)
        train, heldout = split_heldout(usable, recordings, config)
        self.train_count = len(train)
        self.heldout_count = 0 if heldout is train else len(heldout)
        self.sampler = ContextSampler(corpus, train, config, TRAIN_STREAM, speakers, units, voices)
        sampler = ContextSampler(corpus, heldout, config, HELDOUT_STREAM, speakers, units, voices)
        self._check_groups(self.sampler, "to train on")
        self._check_groups(sampler, "held out")
        self.heldout_batches = self._heldout(sampler)

        tf.keras.utils.set_random_seed(config.seed)
        if not config.jit_compile:  # XLA has no deterministic gradient of the pooling on GPUs
            tf.config.experimental.enable_op_determinism()
        # It fails on gradients of the leaky ReLU, with an error message that would worry people.
        tf.config.optimizer.set_experimental_options({"remapping": False})
        with replicas.strategy.scope():
            self.model = UnspeechModel(config)
            if config.initial_model:
                load_weights(self.model, Path(config.initial_model))
            elif config.normalize_input:
                self.model.set_normalization(normalization_sample(corpus, train, config.seed))
            self.teacher = None
            if self.objective.has_teacher:
                self.teacher = UnspeechModel(config)
                self.teacher.set_weights(self.model.get_weights())
            self.optimizer = tf.keras.optimizers.AdamW(
                config.learn_rate, weight_decay=config.weight_decay
            )
            self.optimizer.build(self.model.trainable_variables)
        self.train_step = tf.function(
            self._train_step, reduce_retracing=True, jit_compile=config.jit_compile
        )
        self._score = tf.function(
            self._heldout_score, reduce_retracing=True, jit_compile=config.jit_compile
        )
        self.step = tf.Variable(0, dtype=tf.int64)
        self.seconds = tf.Variable(0.0, dtype=tf.float64)
        self.best_loss = tf.Variable(np.inf, dtype=tf.float32)
        self.checkpoint = tf.train.Checkpoint(
            model=self.model,
            **({"teacher": self.teacher} if self.teacher else {}),
            optimizer=self.optimizer,
            step=self.step,
            seconds=self.seconds,
            best_loss=self.best_loss,
        )

    def _check_groups(self, sampler: ContextSampler, what: str) -> None:
        """Refuse speech of one voice where the windows of other voices are the negatives.

        With adjacent contexts and `logistic` they may be windows of the same utterance from
        elsewhere, as in the original.
        """
        adjacent = self.config.context_sampling == "adjacent"
        if sampler.groups > 1 or not self.objective.has_negatives:
            return
        if not (adjacent and self.config.objective == "logistic"):
            kind = "utterance" if adjacent else self.config.context_sampling
            raise UnspeechError(
                f"the speech {what} is of one {kind}, and negative pairs need two: use more "
                "speech, another heldout_fraction, or context_sampling adjacent with the "
                "objective logistic"
            )

    def _heldout(self, sampler: ContextSampler) -> list[Batch]:
        size = self.config.batch_size
        if not self.config.spk2utt:
            size = max(2, min(size, sampler.groups))  # so that none is in a batch twice
        return [sampler.batch(i, size) for i in range(-(-HELDOUT_TARGETS // size))]

    def _train_step(self, windows, negatives, groups, seed):
        """One step of Adam; returns () loss and () accuracy on its pairs."""
        outcome = self.replicas.run(self._replica_step, windows, negatives, groups, seed)
        if self.teacher is not None:
            for mean, weight in zip(self.teacher.weights, self.model.weights, strict=True):
                mean.assign(weight + self.config.teacher_momentum * (mean - weight))
        return outcome

    def _replica_step(self, windows, negatives, groups, seed):
        if self.config.augmented:
            windows = self._augment(windows, seed)
        windows = [share(each) for each in windows]
        taught = self._taught(windows)
        with tf.GradientTape() as tape:
            embeddings = map(gather, self.model.embed_batch(*windows, dropout_seed=seed))
            outcome = self.objective.outcome(self.model, *embeddings, negatives, groups, taught)
            total = outcome.loss
            if self.config.l2_reg > 0:
                total += self.config.l2_reg * self.model.l2_penalty()
        weights = self.model.trainable_variables
        gradients = mean_gradients(tape.gradient(total, weights))
        if self.config.gradient_clipping > 0:
            gradients = [tf.clip_by_norm(g, self.config.gradient_clipping) for g in gradients]
        apply_gradients(self.optimizer, gradients, weights)
        return outcome.loss, outcome.accuracy

    def _taught(self, windows):
        if self.teacher is None:
            return None
        return Taught(self.teacher, *map(gather, self.teacher.embed_batch(*windows)))

    def _augment(self, windows, seed):
        targets, contexts, *lengths = windows
        pairs = augment(tf.concat([targets[:, None], contexts], axis=1), self.config, seed)
        return pairs[:, 0], pairs[:, 1:], *lengths

    def _heldout_score(self, windows, negatives, groups):
        if self.config.augmented:
            # Without, held-out pairs would be told apart by what training hides.
            windows = self._augment(windows, tf.constant([self.config.seed, HELDOUT_STREAM]))
        embeddings = self.model.embed_batch(*windows)
        taught = self._taught(windows)
        outcome = self.objective.outcome(self.model, *embeddings, negatives, groups, taught)
        return outcome.loss, outcome.accuracy, outcome.examples

    def heldout_scores(self) -> tuple[float, float, np.ndarray]:
        """Loss, accuracy and examples on fixed pairs of windows from the held-out recordings."""
        scores = [self._score(b.windows, b.negatives, b.groups) for b in self.heldout_batches]
        losses, accuracies, examples = zip(*scores, strict=True)
        return float(np.mean(losses)), float(np.mean(accuracies)), np.asarray(examples[0])

    def batches(self) -> tf.data.Dataset:
        """Batches from the next step on, made ahead of the network in another thread."""
        config = self.config
        size, contexts, dim = config.batch_size, config.contexts, config.input_size
        target_frames = None if config.ali_ctm else config.window_length
        context_frames = None if config.ali_ctm else config.window_neg_length
        shapes = [
            (size, target_frames, dim),
            (size, contexts, context_frames, dim),
            (size,),
            (size, contexts),
            (size * config.negative_samples, 2),
            (size,),
        ]
        types = [tf.float32, tf.float32] + 4 * [tf.int32]

        def draw(step):
            batch = self.sampler.batch(int(step))
            return (*batch.windows, batch.negatives, batch.groups)

        def make(step):
            arrays = tf.numpy_function(draw, [step], types)
            return tuple(tf.ensure_shape(a, s) for a, s in zip(arrays, shapes, strict=True))

        steps = tf.data.Dataset.range(int(self.step) + 1, config.num_steps + 1)
        return steps.map(make).prefetch(4)

    def run(self, max_minutes: float | None) -> None:
        """Train to `num_steps`, or until training has taken `max_minutes` in all."""
        folder = self.directory / "checkpoints"
        restored = restore_checkpoint(self.checkpoint, folder, self.replicas.is_chief)
        if restored:
            print(f"Going on from step {int(self.step)}: {restored}")
        checkpoints = tf.train.CheckpointManager(self.checkpoint, folder, max_to_keep=2)
        if self.replicas.of_chief(int(self.step)) != int(self.step):
            raise UnspeechError(
                f"{folder}: the first worker sees another checkpoint; "
                "start again when all hosts see the same files"
            )
        log = TrainLog(self.directory, int(self.step)) if self.replicas.is_chief else None
        limit = np.inf if max_minutes is None else 60 * max_minutes
        config = self.config
        guessed_accuracy, guessed_loss = self.objective.guessed(config)
        sums = np.zeros(2)
        waited, steps, began = 0.0, 0, time.monotonic()
        batches = iter(self.batches())
        progress = tqdm(
            total=config.num_steps,
            initial=int(self.step),
            unit="step",
            disable=not sys.stderr.isatty(),
        )
        while int(self.step) < config.num_steps and float(self.seconds) < limit:
            before = time.monotonic()
            *windows, negatives, groups = next(batches)
            waited += time.monotonic() - before
            step = int(self.step.assign_add(1))
            seed = tf.constant([config.seed, step], tf.int32)
            done = max(step / config.num_steps, float(self.seconds) / limit)
            self.optimizer.learning_rate.assign(learn_rate(config, step, done))
            sums += [float(x) for x in self.train_step(windows, negatives, groups, seed)]
            steps += 1
            progress.update()

            took = self.replicas.of_chief(time.monotonic() - began)
            last = step == config.num_steps or float(self.seconds) + took >= limit
            if step % config.steps_per_checkpoint == 0 or last:
                if not np.isfinite(sums[0]):
                    raise UnspeechError(
                        f"{self.directory}: the loss is no longer finite at step {step}; "
                        "train with a smaller learn_rate"
                    )
                heldout_loss, heldout_accuracy, examples = self.heldout_scores()
                if not np.isfinite(heldout_loss):
                    raise UnspeechError(
                        f"{self.directory}: the held-out loss is not finite at step {step}; train "
                        "with a smaller learn_rate"
                    )
                best = heldout_loss < float(self.best_loss)
                if best:
                    self.best_loss.assign(heldout_loss)
                self.seconds.assign_add(self.replicas.of_chief(time.monotonic() - began))
                if log:
                    if best:
                        save_weights(self.model, self.directory / "checkpoints" / "best.weights.h5")
                    log.report(
                        examples,
                        step=step,
                        seconds=round(float(self.seconds), 3),
                        loss=sums[0] / steps,
                        accuracy=sums[1] / steps,
                        majority_accuracy=guessed_accuracy,
                        chance_loss=guessed_loss,
                        heldout_loss=heldout_loss,
                        heldout_accuracy=heldout_accuracy,
                        best=best,
                        step_time=took / steps,
                        input_wait=waited / took,
                        pairs_per_second=self.objective.pairs(config) * steps / took,
                    )
                    save_checkpoint(checkpoints, step)
                sums, waited, steps, began = np.zeros(2), 0.0, 0, time.monotonic()
        progress.close()
        if log:
            self._take_best()

    def _take_best(self) -> None:
        best = self.directory / "checkpoints" / "best.weights.h5"
        try:
            self.model.load_weights(best)
        except (OSError, ValueError, KeyError) as error:
            raise UnspeechError(
                f"{best}: damaged ({error}); remove {best.parent} and train again"
            ) from None


def restore_checkpoint(checkpoint: tf.train.Checkpoint, folder: Path, is_chief: bool) -> str | None:
    """Restore the newest checkpoint that is sound; say which newer ones are not.

    Args:
        folder: of checkpoints `ckpt-<step>`; the list of them in it is not relied upon, and made
            again by the chief.
    Returns: its prefix; None when there is no checkpoint.
    Raises:
        UnspeechError: when there are some, but none is sound.
    """
    steps = sorted(
        int(match[1]) for path in folder.glob("ckpt-*.index") if (match := _CHECKPOINT(path.name))
    )
    for place in reversed(range(len(steps))):
        prefix = str(folder / f"ckpt-{steps[place]}")
        try:
            checkpoint.restore(prefix).assert_existing_objects_matched()
        except (tf.errors.OpError, AssertionError, ValueError, DecodeError) as error:
            reason = str(getattr(error, "message", error)).split("\n")[0]
            print(f"WARNING: {prefix}: damaged ({reason:.200}); trying an older checkpoint")
            continue
        if is_chief:
            older = [str(folder / f"ckpt-{step}") for step in steps[: place + 1]]
            tf.compat.v1.train.update_checkpoint_state(folder, prefix, older)
        return prefix
    if steps:
        raise UnspeechError(
            f"{folder}: none of the {len(steps)} checkpoints is sound; remove the folder to train "
            "from the beginning"
        )
    return None


_CHECKPOINT = re.compile(r"ckpt-([0-9]{1,10})\.index").fullmatch


def save_checkpoint(checkpoints: tf.train.CheckpointManager, step: int) -> None:
    """Write a checkpoint, complete or not at all.

    Raises:
        UnspeechError: when it cannot be written, as on a full disk.
    """
    try:
        checkpoints.save(checkpoint_number=step)
    except tf.errors.OpError as error:
        if isinstance(error, LOST):
            raise
        raise UnspeechError(
            f"{checkpoints.directory}: the checkpoint of step {step} cannot be written "
            f"({error.message.splitlines()[0]:.200}): free some space and run this again"
        ) from None


def normalization_sample(corpus: Corpus, indices: np.ndarray, seed: int) -> np.ndarray:
    """(frames, input_size): all frames of up to 2,000 of the training utterances."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(indices, min(2000, len(indices)), replace=False)
    return np.concatenate([corpus.features(i) for i in np.sort(chosen)])


def learn_rate(config: Config, step: int, done: float) -> float:
    """Step size at a step.

    Args:
        step: from 1.
        done: share of training that is over, by steps or by time, whichever is more.
    """
    if config.learn_rate_schedule == "constant":
        return config.learn_rate
    rise = min(1.0, step / (WARMUP * config.num_steps))
    fall = 0.5 * (1 + np.cos(np.pi * min(1.0, done)))
    return config.learn_rate * rise * (LEAST_RATE + (1 - LEAST_RATE) * fall)


class TrainLog:
    """Reports of training: lines on stdout, `train_log.jsonl` and TensorBoard summaries.

    Args:
        directory: model directory.
        step: where training goes on; reports of later steps, from before a kill, are dropped.
    """

    def __init__(self, directory: Path, step: int) -> None:
        self.directory = directory
        self.path = directory / "train_log.jsonl"
        text = self.path.read_text(errors="replace") if self.path.exists() else ""
        steps = {line: _step_of(line) for line in text.split("\n") if line}
        kept = [line for line, own in steps.items() if own <= step]
        if np.isnan(list(steps.values())).any():
            print(f"WARNING: {self.path}: left out what is no report, as a kill leaves it")
        with atomic_write(self.path) as file:
            file.writelines(line + "\n" for line in kept)
        self.summaries = tf.summary.create_file_writer(str(directory / "tensorboard"))

    def report(self, examples: np.ndarray, **values) -> None:
        """Write one report; the names are those of the original's progress lines.

        Args:
            examples: see `objectives.Outcome`; for stdout only.
        """
        with self.path.open("a") as file:
            file.write(json.dumps(values) + "\n")
        with self.summaries.as_default():
            for name, value in values.items():
                if name not in ("step", "best"):
                    tf.summary.scalar(name, float(value), step=values["step"])
        self.summaries.flush()
        tqdm.write(
            "At step {step} step-time {step_time:.4f} loss {loss:.4f} accuracy {accuracy:.4f} "
            "majority class accuracy {majority_accuracy:.4f} held-out loss {heldout_loss:.4f} "
            "held-out accuracy {heldout_accuracy:.4f}".format(**values)
        )
        answers = " ".join(f"{right}/{given}" for right, given in examples)
        tqdm.write(f"Held-out answers, right/given: {answers}")
        note = "the best so far" if values["best"] else "not the best"
        tqdm.write(f"Model saving path is: {self.directory} ({note} on held-out recordings)")
        sys.stdout.flush()


def summary(directory: Path) -> list[str]:
    """What a training came to, in a few lines, from its log; nothing without a log."""
    reports = [json.loads(line) for line in read_lines(directory / "train_log.jsonl")]
    kept = [report for report in reports if report["best"]][-1:]
    lines = [
        f"{last['step']} steps in {last['seconds'] / 60:.1f} minutes; loss in training from "
        f"{first['loss']:.4f} to {last['loss']:.4f}, accuracy from {first['accuracy']:.4f} to "
        f"{last['accuracy']:.4f}"
        for first, last in zip(reports[:1], reports[-1:], strict=True)
    ]
    return lines + [
        f"kept is the model of step {best['step']}, the best on held-out recordings: loss "
        f"{best['heldout_loss']:.4f}, accuracy {best['heldout_accuracy']:.4f}; guessing gives "
        f"{best['chance_loss']:.4f} and {best['majority_accuracy']:.4f}"
        for best in kept
    ]


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
    ):  # half a line, from a kill, or damaged
        return np.nan


def test_sampling(
    config: Config, corpus: Corpus, recordings: list[str], groupings: tuple, path: Path
) -> None:
    """Draw the windows of the first training step into a PNG file."""
    # Imported here, as training draws nothing.
    from unspeech.evaluation.plots import sampled_batch

    train, _ = split_heldout(usable_utterances(corpus, config, *groupings), recordings, config)
    batch = ContextSampler(corpus, train, config, TRAIN_STREAM, *groupings).batch(1)
    with atomic_write(path, "wb") as file:
        file.write(sampled_batch(batch, config, f"first draw of step 1, seed {config.seed}"))
    print(
        f"The first step, seed {config.seed}: {len(batch.targets)} targets, {config.contexts} "
        f"contexts of each, {len(batch.negatives)} negative pairs; {path} shows the first of them"
    )


def train_network(
    config: Config,
    corpus: Corpus,
    recordings: list[str],
    groupings: tuple,
    directory: Path,
    options,
) -> None:
    """Train a network and write its model directory, `final.ie.id` last.

    Args:
        config, corpus, recordings, directory: see `Trainer`.
        groupings: of `sampling.groupings_of`.
        options: of the program: `num_gpus`, `num_workers`, `worker`, `max_minutes`.
    """
    replicas = join_replicas(
        options.num_gpus, options.num_workers, options.worker, directory / "workers"
    )
    trainer = Trainer(config, corpus, recordings, directory, replicas, *groupings)
    if replicas.is_chief:
        with atomic_write(directory / "unused_utterances") as file:
            file.writelines(f"{corpus.utterances[i]} {corpus.lengths[i]}\n" for i in trainer.unused)
    hours = corpus.lengths.sum() / config.input_rate / 3600
    print(
        f"Training {config.embedding_transformation} with seed {config.seed} on "
        f"{trainer.train_count} utterances of {hours:.2f} hours; {trainer.heldout_count} held out"
        f"{'' if trainer.heldout_count else ', as that takes four recordings'}; "
        f"{len(trainer.unused)} too short or otherwise not usable, listed with their frames in "
        f"{directory / 'unused_utterances'}",
        flush=True,
    )
    try:
        trainer.run(options.max_minutes)
    except LOST as error:
        if replicas.workers == 1:
            raise
        print(error.message)
        raise UnspeechError(
            f"worker {replicas.worker + 1}: another of the {replicas.workers} workers is lost, see "
            "its log; start again, to go on from the last checkpoint"
        ) from None
    if not replicas.is_chief:
        print(f"Worker {replicas.worker + 1} is done; the first one writes the model")
        return
    if corpus.lengths.max() >= config.window_length:  # units of ali_ctm may all be shorter
        write_row_statistics(trainer.model, corpus, directory)
    model_id = finish_model(trainer.model, directory)
    for line in summary(directory):
        print(f"Summary: {line}")  # train.sh shows these lines
    print(f"Trained model {model_id} is in {directory}")
