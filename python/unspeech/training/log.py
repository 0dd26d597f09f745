"""Reports of training, and what they come to."""

import json
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unspeech.files.atomic import atomic_write
from unspeech.files.text import read_lines
from unspeech.network.backend import tf
from unspeech.training.reports import report_of


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
        reports = {line: report_of(line) for line in text.split("\n") if line}
        kept = [line for line, own in reports.items() if own and float(own["step"]) <= step]
        if None in reports.values():
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
        f"{best['heldout_loss']:.4f}, accuracy {best['heldout_accuracy']:.4f}; chance gives "
        f"{best.get('heldout_chance_loss', best['chance_loss']):.4f} and "
        f"{best.get('heldout_majority_accuracy', best['majority_accuracy']):.4f}"
        for best in kept
    ]
