"""A model in training: its steps, held-out scores, checkpoints and reports."""

import re
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unspeech.cli.errors import UnspeechError
from unspeech.files.atomic import atomic_write
from unspeech.kaldi.alignments import Unit
from unspeech.kaldi.corpus import Corpus
from unspeech.network.backend import tf
from unspeech.network.config import Config
from unspeech.network.model import UnspeechModel, save_weights
from unspeech.training.checkpoints import restore_checkpoint, save_checkpoint
from unspeech.training.distribution import (
    LOST,
    Replicas,
    join_replicas,
)
from unspeech.training.groupings import split_heldout, usable_utterances
from unspeech.training.log import TrainLog
from unspeech.training.network import TrainedNetwork
from unspeech.training.objectives import OBJECTIVES
from unspeech.training.pipeline import dataset
from unspeech.training.sampling import HELDOUT_STREAM, TRAIN_STREAM, Batch, ContextSampler

WARMUP = 0.05  # fraction of training in which a cosine schedule rises
LEAST_RATE = 0.01  # where it ends, as a fraction of learn_rate
HELDOUT_TARGETS = 256  # targets that the held-out loss is computed on, the same at each report


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
        groups: what each utterance shares its context with, or None, see `ContextSampler`.
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
        groups: list[str] | None = None,
    ) -> None:
        self.config, self.directory, self.replicas = config, directory, replicas
        if config.batch_size % replicas.count:
            raise UnspeechError(
                f"batch_size {config.batch_size} cannot be divided among {replicas.count} devices; "
                "take a multiple of their number"
            )
        if config.jit_compile and replicas.count > 1:
            raise UnspeechError("jit_compile: XLA trains on one device only; set it to false")
        self.objective = OBJECTIVES.get(config.objective)
        if self.objective is None:
            raise UnspeechError(
                f"objective: there is no '{config.objective}'; there are: {', '.join(OBJECTIVES)}"
            )
        usable = usable_utterances(corpus, config, speakers, units, groups)
        self.unused = np.flatnonzero(~usable)
        train, heldout = split_heldout(usable, recordings, config, speakers)
        self.train_count = len(train)
        self.heldout_count = 0 if heldout is train else len(heldout)
        self.sampler = ContextSampler(corpus, train, config, TRAIN_STREAM, speakers, units, groups)
        sampler = ContextSampler(corpus, heldout, config, HELDOUT_STREAM, speakers, units, groups)
        self._check_groups(self.sampler, "to train on")
        self._check_groups(sampler, "held out")
        self.heldout_batches = self._heldout(sampler)

        def frames() -> np.ndarray:
            return normalization_sample(corpus, train, config.seed)

        self.network = TrainedNetwork(config, self.objective, replicas, frames)
        self.step = tf.Variable(0, dtype=tf.int64)
        self.seconds = tf.Variable(0.0, dtype=tf.float64)
        self.best_loss = tf.Variable(np.inf, dtype=tf.float32)
        self.checkpoint = tf.train.Checkpoint(
            **self.network.parts(),
            step=self.step,
            seconds=self.seconds,
            best_loss=self.best_loss,
        )

    def _check_groups(self, sampler: ContextSampler, what: str) -> None:
        """Refuse speech of one group where the windows of other groups are the negatives.

        With adjacent contexts and `logistic` they may be windows of the same utterance from
        elsewhere, as in the original.
        """
        adjacent = self.config.context_sampling == "adjacent"
        if sampler.group_count > 1 or not self.objective.has_negatives:
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
            size = max(2, min(size, sampler.group_count))  # so that none is in a batch twice
        return [sampler.batch(i, size) for i in range(-(-HELDOUT_TARGETS // size))]

    def heldout_scores(self) -> tuple[float, float, np.ndarray]:
        """Loss, accuracy and examples on fixed pairs of windows from the held-out recordings."""
        scores = [
            self.network.score(b.windows, b.negatives, b.groups) for b in self.heldout_batches
        ]
        losses, accuracies, examples = zip(*scores, strict=True)
        return float(np.mean(losses)), float(np.mean(accuracies)), np.asarray(examples[0])

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
        chance = self.objective.chance(config, config.batch_size)
        # Fewer draws are easier to tell apart.
        heldout_chance = self.objective.chance(config, len(self.heldout_batches[0].targets))
        sums = np.zeros(2)
        waited, steps, took, began = 0.0, 0, 0.0, time.monotonic()
        batches = iter(dataset(self.sampler, config, int(self.step) + 1))
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
            done = max(step / config.num_steps, (float(self.seconds) + took) / limit)
            self.network.optimizer.learning_rate.assign(learn_rate(config, done))
            sums += [float(x) for x in self.network.train_step(windows, negatives, groups, seed)]
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
                        save_weights(self.network.model, self._best_weights(step))
                    log.report(
                        examples,
                        step=step,
                        seconds=round(float(self.seconds), 3),
                        loss=sums[0] / steps,
                        accuracy=sums[1] / steps,
                        majority_accuracy=chance[0],
                        chance_loss=chance[1],
                        heldout_loss=heldout_loss,
                        heldout_accuracy=heldout_accuracy,
                        heldout_majority_accuracy=heldout_chance[0],
                        heldout_chance_loss=heldout_chance[1],
                        best=best,
                        step_time=took / steps,
                        input_wait=waited / took,
                        pairs_per_second=self.objective.pairs(config) * steps / took,
                    )
                    save_checkpoint(checkpoints, step)
                    if best:  # older ones were needed as long as training could go on from there
                        for path in self._best_by_step().values():
                            if path != self._best_weights(step):
                                path.unlink()
                sums, waited, steps, took, began = np.zeros(2), 0.0, 0, 0.0, time.monotonic()
        progress.close()
        if log:
            self._take_best()

    def _best_weights(self, step: int) -> Path:
        return self.directory / "checkpoints" / f"best-{step}.weights.h5"

    def _best_by_step(self) -> dict[int, Path]:
        """The files of best weights; one without a step is of an older version."""
        files = (self.directory / "checkpoints").glob("best*.weights.h5")
        return {int("0" + re.sub(r"\D", "", path.name.split(".")[0])): path for path in files}

    def _take_best(self) -> None:
        found = self._best_by_step()
        # Later ones are of an attempt that was killed before its checkpoint.
        known = [step for step in found if step <= int(self.step)] or [min(found, default=0)]
        best = found.get(max(known), self._best_weights(0))
        try:
            self.network.model.load_weights(best)
        except (OSError, ValueError, KeyError) as error:
            raise UnspeechError(
                f"{best}: damaged ({error}); remove {best.parent} and train again"
            ) from None


def normalization_sample(corpus: Corpus, indices: np.ndarray, seed: int) -> np.ndarray:
    """(frames, input_size): all frames of up to 2,000 of the training utterances."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(indices, min(2000, len(indices)), replace=False)
    return np.concatenate([corpus.features(i) for i in np.sort(chosen)])


def learn_rate(config: Config, done: float) -> float:
    """Step size at a step.

    Args:
        done: fraction of training that is over then, by steps or by time, whichever is more.
    """
    if config.learn_rate_schedule == "constant":
        return config.learn_rate
    rise = min(1.0, done / WARMUP)
    fall = 0.5 * (1 + np.cos(np.pi * min(1.0, done)))
    return config.learn_rate * rise * (LEAST_RATE + (1 - LEAST_RATE) * fall)


def train_network(
    config: Config,
    corpus: Corpus,
    recordings: list[str],
    groupings: tuple,
    directory: Path,
    options,
) -> UnspeechModel | None:
    """Train a network; its checkpoints and its log are in the model directory then.

    Args:
        config, corpus, recordings, directory: see `Trainer`.
        groupings: of `groupings.groupings_of`.
        options: of the program: `num_gpus`, `num_workers`, `worker`, `max_minutes`.
    Returns:
        the network with the best weights; None in other workers than the first, which writes it.
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
        return None
    return trainer.network.model
