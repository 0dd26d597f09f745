"""Training: the objective, the program, restarts, bad input."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import yaml
from helpers.data import voices, write_features
from helpers.models import RUN_SETTINGS, TINY, pooled_model, tiny_options
from helpers.programs import ROOT, call, call_fails
from helpers.shell import STEPS, paused, run

from unspeech.cli.errors import UnspeechError
from unspeech.kaldi.archives import iterate_arrays
from unspeech.kaldi.features import load_corpus
from unspeech.kaldi.tables import write_table
from unspeech.network.config_files import make_config
from unspeech.network.model import UnspeechModel, load_model
from unspeech.training import trainer
from unspeech.training.distribution import join_replicas
from unspeech.training.objectives import OBJECTIVES, Taught
from unspeech.training.trainer import Trainer, learn_rate


def test_training_learns_and_leaves_what_the_contract_names(tiny_model, capsys):
    lines = [json.loads(line) for line in (tiny_model / "train_log.jsonl").open()]
    assert [line["step"] for line in lines] == [5, 10, 15, 20, 25, 30]
    assert {"seconds", "loss", "accuracy", "pairs_per_second"} <= set(lines[0])
    assert lines[-1]["heldout_loss"] < lines[0]["heldout_loss"]
    assert lines[0]["majority_accuracy"] == 0.5
    assert yaml.safe_load((tiny_model / "config.yaml").read_text())["fc_size"] == 16
    for name in ("model.weights.h5", "final.ie.id", "checkpoints", "tensorboard"):
        assert (tiny_model / name).exists(), name
    assert not list(tiny_model.glob(".*part*"))


def test_the_best_model_on_heldout_recordings_is_kept(tiny_data, tmp_path):
    for rate in (0.08, 0.05, 0.03, 0.02):  # so high that the loss gets worse again, with luck
        model = tmp_path / str(rate)
        call("train", "--data", tiny_data, "--dir", model, *tiny_options(learn_rate=rate))
        lines = [json.loads(line) for line in (model / "train_log.jsonl").open()]
        best = min(lines, key=lambda line: line["heldout_loss"])
        if best["step"] < lines[-1]["step"]:
            break
    else:
        pytest.fail("the last model was the best with every learning rate")
    assert [line["step"] for line in lines if line["best"]][-1] == best["step"]
    short = tmp_path / "short"
    options = tiny_options(learn_rate=rate, num_steps=best["step"])
    call("train", "--data", tiny_data, "--dir", short, *options)
    for kept, expected in zip(
        load_model(model).get_weights(), load_model(short).get_weights(), strict=True
    ):
        assert np.array_equal(kept, expected)


def test_a_loss_that_is_no_longer_finite_ends_training(tiny_data, tmp_path):
    options = tiny_options(learn_rate=1, embedding_transformation="Vgg16")
    message = call_fails("train", "--data", tiny_data, "--dir", tmp_path, *options)
    assert "the loss is no longer finite at step" in message
    assert "smaller learn_rate" in message


def test_progress_is_reported_as_the_original_did(tiny_data, tmp_path, capsys):
    call("train", "--data", tiny_data, "--dir", tmp_path, *tiny_options(num_steps=5))
    printed = capsys.readouterr().out
    for part in ("seed 1", "At step 5 step-time", "loss", "majority class accuracy 0.5000"):
        assert part in printed
    assert f"Model saving path is: {tmp_path}" in printed
    # As many positive as negative pairs a target, in turns.
    (answers,) = re.findall(r"Held-out answers, right/given: (.*)", printed)
    assert re.fullmatch(r"((1/[01] ){4}(0/[01] ?){4}){2}", answers)


@pytest.mark.parametrize("objective", ["logistic", "infonce", "dino"])
def test_examples_agree_with_the_accuracy(objective):
    model = pooled_model(objective=objective, prototypes=4, negative_samples=1, sample_2x_neg=False)
    rng = np.random.default_rng(0)
    targets, contexts = tf.constant(rng.normal(size=(2, 8, 8)), tf.float32)
    views = targets[:, None], contexts[:, None]
    negatives = tf.constant([[2 * i, (i + 1) % 8] for i in range(8)])
    outcome = OBJECTIVES[objective].outcome(
        model, *views, negatives, tf.range(8), Taught(model, *views)
    )
    right, given = outcome.examples.numpy().T  # all of them: 16 answers
    assert np.mean(right == given) == pytest.approx(float(outcome.accuracy))
    if objective == "logistic":
        logits = (
            tf.reduce_sum(targets * contexts, axis=1),
            tf.reduce_sum(targets * tf.roll(contexts, -1, 0), axis=1),
        )
        np.testing.assert_array_equal(right, [1, 0] * 8)
        np.testing.assert_array_equal(given, np.stack(logits, axis=1).ravel() > 0)


def test_the_step_ends_with_what_training_came_to(tiny_data, tmp_path):
    options = " ".join(tiny_options(num_steps=10, embedding_transformation="BaselineDnn"))
    step = run(STEPS / "train.sh", "--train-opts", options, tiny_data, tmp_path / "model")
    assert step.returncode == 0, step.stderr
    lines = [json.loads(line) for line in (tmp_path / "model/train_log.jsonl").open()]
    best = min(lines, key=lambda line: line["heldout_loss"])
    length, kept = step.stdout.splitlines()[-2:]
    assert length.startswith(f"{tmp_path}/model: 10 steps in ")
    assert f"from {lines[0]['loss']:.4f} to {lines[1]['loss']:.4f}" in length
    assert f"the model of step {best['step']}, the best on held-out recordings" in kept
    assert f"loss {best['heldout_loss']:.4f}, accuracy {best['heldout_accuracy']:.4f}" in kept
    assert kept.endswith("chance gives 0.6931 and 0.5000")


def test_killed_and_started_again_gives_the_same_model(tiny_data, tiny_model, tmp_path):
    command = [sys.executable, "-m", "unspeech.train", "--data", str(tiny_data)]
    command += ["--dir", str(tmp_path / "model"), *tiny_options()]
    environment = {"PYTHONPATH": str(ROOT / "python"), "PATH": "/usr/bin:/bin"}
    log = tmp_path / "model" / "train_log.jsonl"
    # Open for writing it is at the start, then at each report: the one of step 15 is missing.
    with paused(command, log, tmp_path / "flag", 4, env=environment, stdout=subprocess.DEVNULL):
        assert '"step": 10' in log.read_text()
    assert not (tmp_path / "model" / "final.ie.id").exists()
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "Going on from step" in again.stdout
    assert (tmp_path / "model" / "final.ie.id").read_text() == (
        tiny_model / "final.ie.id"
    ).read_text()
    steps = [json.loads(line)["step"] for line in log.open()]
    assert steps == [5, 10, 15, 20, 25, 30]


def reports(model, value: str) -> list[float]:
    return [json.loads(line)[value] for line in (model / "train_log.jsonl").open()]


def test_xla_computes_the_same(tiny_data, tmp_path):
    # XLA drops other units. Few steps: differences of rounding grow from step to step.
    settings = tiny_options(num_steps=2, steps_per_checkpoint=1, dropout_keep_prob=1)
    plain, compiled = tmp_path / "plain", tmp_path / "compiled"
    call("train", "--data", tiny_data, "--dir", plain, *settings)
    # In a process of its own: the deterministic operations of the first one stay switched on.
    command = [sys.executable, "-m", "unspeech.train", "--data", str(tiny_data), *settings]
    command += ["--dir", str(compiled), "--jit-compile", "true"]
    environment = {"PYTHONPATH": str(ROOT / "python"), "PATH": "/usr/bin:/bin"}
    subprocess.run(command, env=environment, capture_output=True, check=True)
    for value in ("loss", "heldout_loss"):
        np.testing.assert_allclose(reports(compiled, value), reports(plain, value), rtol=1e-4)


@pytest.mark.parametrize("encoder", ["Vgg16", "TDNN"])
def test_mixed_precision_is_close_and_embeds_in_full_precision(encoder, tiny_data, tmp_path):
    # Few steps: differences of rounding grow from step to step, as in any training. The default
    # dropout, which must drop the same units.
    settings = {"embedding_transformation": encoder, "num_steps": 2, "window_length": 30}
    settings |= {"window_neg_length": 30, "left_contexts": 1, "right_contexts": 1}
    settings |= {"tdnn_channels": 16, "pooled_channels": 16, "steps_per_checkpoint": 1}
    settings["learn_rate"] = 3e-4  # small: at a larger one they grow faster
    models = {}
    for mixed in ("true", "false"):
        model = tmp_path / mixed
        options = tiny_options(**settings, mixed_precision=mixed)
        call("train", "--data", tiny_data, "--dir", model, *options)
        models[mixed] = model
    for value in ("loss", "heldout_loss"):
        found, expected = (reports(models[mixed], value) for mixed in ("true", "false"))
        assert found != expected
        np.testing.assert_allclose(found, expected, rtol=0.01)
    trained = load_model(models["true"])
    assert not trained.config.mixed_precision
    windows = np.random.default_rng(0).normal(size=(2, 30, 40)).astype(np.float32)
    reference = UnspeechModel(load_model(models["false"]).config)
    reference.set_weights(trained.get_weights())
    np.testing.assert_array_equal(trained.embed_targets(windows), reference.embed_targets(windows))


def test_max_minutes_ends_training_with_a_usable_model(tiny_data, tmp_path, capsys):
    options = tiny_options(num_steps=100_000)
    call("train", "--data", tiny_data, "--dir", tmp_path, "--max-minutes", "0.02", *options)
    assert load_model(tmp_path).config.num_steps == 100_000
    lines = [json.loads(line) for line in (tmp_path / "train_log.jsonl").open()]
    assert lines[-1]["seconds"] < 60
    call("train", "--data", tiny_data, "--dir", tmp_path, "--max-minutes", "0.02", *options)
    assert "nothing to do" in capsys.readouterr().out
    longer = 1 / 60 + lines[-1]["seconds"] / 60
    call("train", "--data", tiny_data, "--dir", tmp_path, "--max-minutes", longer, *options)
    assert f"Going on from step {lines[-1]['step']}:" in capsys.readouterr().out
    more = [json.loads(line) for line in (tmp_path / "train_log.jsonl").open()]
    assert more[-1]["step"] > lines[-1]["step"]


def test_a_trained_model_is_not_trained_again_and_not_overwritten(tiny_model, tiny_data, capsys):
    before = (tiny_model / "model.weights.h5").stat().st_mtime_ns
    call("train", "--data", tiny_data, "--dir", tiny_model, *tiny_options())
    assert "nothing to do" in capsys.readouterr().out
    message = call_fails("train", "--data", tiny_data, "--dir", tiny_model, *tiny_options(seed=2))
    assert "another run's model" in message
    assert "seed was 1, is 2" in message
    assert (tiny_model / "model.weights.h5").stat().st_mtime_ns == before


def test_another_corpus_is_another_run(tiny_model, tmp_path):
    data = write_features(tmp_path / "data", voices(seed=9))
    message = call_fails("train", "--data", data, "--dir", tiny_model, *tiny_options())
    assert "training utterances differ" in message


def test_other_features_of_the_same_utterances_are_another_run(tiny_data, tmp_path):
    features = dict(iterate_arrays(tiny_data / "feats.scp"))
    data = write_features(tmp_path / "data", features)
    options = ["--data", data, "--dir", tmp_path / "model", *tiny_options(num_steps=5)]
    call("train", *options)
    write_features(tmp_path / "moved", features)
    call("train", "--data", tmp_path / "moved", *options[2:])
    write_features(data, {name: 2 * frames for name, frames in features.items()})
    assert "their features differ" in call_fails("train", *options)


def test_weights_of_a_step_that_was_not_kept_are_not_taken(tiny_data, tmp_path, monkeypatch):
    """Killed between the best weights and their checkpoint, and time is up when it goes on."""
    save, steps = trainer.save_checkpoint, []

    def save_once(checkpoints, step):
        if steps:
            raise SystemExit("killed")
        steps.append(step)
        save(checkpoints, step)

    options = ["--data", tiny_data, *tiny_options(num_steps=1000, learn_rate=0.003)]
    monkeypatch.setattr(trainer, "save_checkpoint", save_once)
    call_fails("train", *options, "--dir", tmp_path / "model")
    monkeypatch.setattr(trainer, "save_checkpoint", save)
    files = {path.name for path in (tmp_path / "model/checkpoints").glob("best*")}
    assert files == {"best-5.weights.h5", "best-10.weights.h5"}
    call("train", *options, "--dir", tmp_path / "model", "--max-minutes", 1e-6)
    short = ["--data", tiny_data, *tiny_options(num_steps=5, learn_rate=0.003)]
    call("train", *short, "--dir", tmp_path / "short")
    weights = [load_model(tmp_path / name).get_weights() for name in ("model", "short")]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_step_takes_the_seed_of_the_config(tiny_data, tmp_path):
    (tmp_path / "seven.yaml").write_text(yaml.safe_dump(RUN_SETTINGS | {"seed": 7}))
    options = ["--config", tmp_path / "seven.yaml", "--train-opts", "--test-sampling"]
    for given, seed in (([], 7), (["--seed", 3], 3)):
        step = run(STEPS / "train.sh", *options, *given, tiny_data, tmp_path / f"model{seed}")
        assert step.returncode == 0, step.stderr
        log = (tmp_path / f"model{seed}/log/test_sampling.log").read_text()
        assert f"The first step, seed {seed}:" in log


def test_a_longer_training_goes_on_from_a_shorter_one(tiny_data, tiny_model, tmp_path, capsys):
    call("train", "--data", tiny_data, "--dir", tmp_path, *tiny_options(num_steps=15))
    call("train", "--data", tiny_data, "--dir", tmp_path, *tiny_options())
    assert "Going on from step 15" in capsys.readouterr().out
    assert (tmp_path / "final.ie.id").read_text() == (tiny_model / "final.ie.id").read_text()
    shorter = tiny_options(num_steps=20)
    message = call_fails("train", "--data", tiny_data, "--dir", tmp_path, *shorter)
    assert "is trained to 30 steps already, more than num_steps 20" in message
    assert (tmp_path / "final.ie.id").exists()


def test_other_speakers_are_another_run(tiny_data, tmp_path):
    utterances = load_corpus(tiny_data, 40).utterances
    write_table(tmp_path / "speakers", {u: u.split("-")[0] for u in utterances})
    options = ["--data", tiny_data, "--dir", tmp_path / "model"]
    given = {"context_sampling": "speaker", "pseudo_utt2spk": tmp_path / "speakers"}
    given |= {"left_contexts": 0, "right_contexts": 1, "heldout_fraction": 0.3}
    call("train", *options, *tiny_options(num_steps=5, **given))
    write_table(tmp_path / "speakers", {u: u[-1] for u in utterances})
    message = call_fails("train", *options, *tiny_options(num_steps=10, **given))
    assert "their recordings, speakers, units or initial model differ" in message


def test_chance_is_that_of_the_batches_it_stands_beside(tiny_data, tmp_path):
    call("train", "--data", tiny_data, "--dir", tmp_path, *tiny_options(
        objective="infonce", context_sampling="recording", num_steps=5, left_contexts=0,
        right_contexts=1, heldout_fraction=0.15,
    ))  # fmt: skip
    (line,) = [json.loads(line) for line in (tmp_path / "train_log.jsonl").open()]
    assert line["majority_accuracy"] == 1 / TINY["batch_size"]
    held_out = round(1 / line["heldout_majority_accuracy"])
    assert 2 <= held_out < TINY["batch_size"]
    assert line["heldout_chance_loss"] == pytest.approx(np.log(held_out))


def test_a_cosine_schedule_ends_when_training_does():
    config = make_config(TINY | {"learn_rate_schedule": "cosine"}, "test")
    rates = [learn_rate(config, done) for done in (0.01, 0.05, 0.5, 1.0)]
    assert rates[0] == pytest.approx(0.2 * config.learn_rate, rel=0.01)
    assert rates[1] > 0.99 * config.learn_rate > rates[2] > rates[3]
    assert rates[3] == pytest.approx(0.01 * config.learn_rate)


def test_heldout_batches_hold_no_voice_twice(tiny_data, tmp_path):
    corpus = load_corpus(tiny_data, 40)
    speakers = [name.split("-")[0] for name in corpus.utterances]
    settings = {"context_sampling": "speaker", "pseudo_utt2spk": "given", "objective": "infonce"}
    settings |= {"heldout_fraction": 0.5}
    config = make_config(TINY | settings, "test")
    trainer = Trainer(
        config, corpus, corpus.utterances, tmp_path, join_replicas(1, 1, 1, tmp_path),
        groups=speakers,
    )  # fmt: skip
    for batch in trainer.heldout_batches:
        assert len(set(batch.groups)) == len(batch.groups) > 1
    with pytest.raises(UnspeechError, match="to train on is of one speaker, and negative pairs"):
        Trainer(
            config, corpus, corpus.utterances, tmp_path, join_replicas(1, 1, 1, tmp_path),
            groups=["one"] * len(speakers),
        )  # fmt: skip


def test_one_recording_is_trained_on_as_the_original_did(tmp_path, capsys):
    data = write_features(tmp_path / "data", voices(1, 1))
    call("train", "--data", data, "--dir", tmp_path / "m", *tiny_options(num_steps=5))
    assert "on 1 utterances of 0.00 hours; 0 held out" in capsys.readouterr().out
    assert load_model(tmp_path / "m").config.num_steps == 5
