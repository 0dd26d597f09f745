"""Training on several devices and by several workers takes the course of one device; on CPUs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.models import tiny_options
from helpers.programs import call, call_fails
from helpers.shell import STEPS, paused, run

from unspeech.cli.errors import UnspeechError
from unspeech.training.distribution import meet

# Logical devices stand for GPUs.
TWO_DEVICES = """
import sys
import tensorflow as tf
from unspeech import train
from unspeech.training import distribution
cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
distribution.devices_of_host = lambda gpus: ["CPU:0", "CPU:1"]
train.main()
"""

SMALL = {
    "embedding_transformation": "BaselineDnn", "num_dnn_layers": 2,
    "tied_final_embeddings_transforms": True,
    "context_sampling": "recording", "left_contexts": 0, "right_contexts": 1,
    "num_steps": 4, "steps_per_checkpoint": 1,
}  # fmt: skip


def check_same_course(model: Path, reference: Path) -> None:
    courses = [
        [
            [line[value] for value in ("step", "loss", "heldout_loss")]
            for line in map(json.loads, (directory / "train_log.jsonl").open())
        ]
        for directory in (model, reference)
    ]
    np.testing.assert_allclose(*courses, rtol=1e-4)


def test_two_devices_train_as_one(tiny_data, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    # What looks at more than one window, or draws random numbers.
    settings = {"objective": "dino", "prototypes": 16, "batch_normalization": True, "l2_reg": 0.01}
    options = tiny_options(**SMALL, **settings, dropout_keep_prob=0.8)
    options = ["--data", tiny_data, *options]
    call("train", "--dir", one, *options)
    result = run(sys.executable, "-c", TWO_DEVICES, "--dir", two, "--num-gpus", 2, *options)
    assert result.returncode == 0, result.stderr
    check_same_course(two, one)


def process_of(worker: int, model: Path) -> int:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_text(errors="replace").split("\0")
        of_model = "unspeech.train" in words[:3] and str(model) in words
        if of_model and words[words.index("--worker") + 1] == str(worker):
            return int(path.parent.name)
    raise LookupError(f"no worker {worker} of {model}")


def test_two_workers_train_as_one_though_one_is_killed(tiny_data, tmp_path, tmp_path_factory):
    one, two = tmp_path / "one", tmp_path / "two"
    # A dozen steps: then small differences begin to grow, as they do in any training.
    settings = {"objective": "infonce", "unit_normalize": True, "initial_scale": 3.0}
    settings |= {"gradient_clipping": 0.1, "augment_warp": 0.3}
    options = tiny_options(**SMALL | settings | {"num_steps": 12})
    call("train", "--data", tiny_data, "--dir", one, *options)
    command = [STEPS / "train.sh", "--num-workers", "2", "--train-opts", " ".join(options)]
    command += [tiny_data, two]
    log, flag = two / "train_log.jsonl", tmp_path_factory.mktemp("flag") / "flag"
    with paused(command, log, flag, 4, stderr=subprocess.PIPE, text=True) as step:
        os.kill(process_of(2, two), signal.SIGKILL)
        flag.unlink()
        message = step.communicate(timeout=100)[1]
    assert step.returncode == 1
    assert f"log: {two}/log/train.2.log" in message
    log = (two / "log/train.1.log").read_text()
    assert "ERROR: worker 1: another of the 2 workers is lost" in log
    again = run(*command)
    assert again.returncode == 0, again.stderr
    for worker in (1, 2):
        assert "Going on from step" in (two / f"log/train.{worker}.log").read_text()
    check_same_course(two, one)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    written = {path.name for path in two.iterdir()} - {"log", ".lock", ".final.ie.id.made_from"}
    assert written == {path.name for path in one.iterdir()}


def test_devices_that_are_not_there(tiny_data, tmp_path):
    command = ["--data", tiny_data, "--dir", tmp_path, *tiny_options(), "--num-gpus", 2]
    assert "--num-gpus 2: this job sees 0 GPUs only" in call_fails("train", *command)


def test_workers_meet(tmp_path, monkeypatch):
    (tmp_path / "2").write_text("other:1234")
    own, other = meet(tmp_path, 2, 1)
    assert other == "other:1234"
    assert (tmp_path / "1").read_text() == own
    monkeypatch.setattr("unspeech.training.distribution.MEETING_SECONDS", 0)
    with pytest.raises(UnspeechError, match="no sign of worker 3"):
        meet(tmp_path, 3, 1)
