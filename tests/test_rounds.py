"""Training in rounds, with clusters as speakers."""

import json

import yaml
from conftest import TINY
from shell import STEPS, run

SETTINGS = TINY | {
    "embedding_transformation": "TDNN", "tdnn_channels": 16, "pooled_channels": 16, "fc_size": 0,
    "window_length": 40, "window_neg_length": 40, "context_sampling": "recording",
    "left_contexts": 0, "right_contexts": 1, "objective": "infonce", "unit_normalize": True,
    "normalize_input": True, "learn_rate": 0.003, "num_steps": 10, "steps_per_checkpoint": 5,
}  # fmt: skip


def test_each_round_goes_on_from_the_clusters_of_the_one_before(tiny_data, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(SETTINGS))
    model = tmp_path / "model"
    step = [STEPS / "train_rounds.sh", "--config", config, "--rounds", 2, tiny_data, model]
    done = run(*step)
    assert done.returncode == 0, done.stderr
    first, second = (model / "rounds" / number for number in "12")
    settings = yaml.safe_load((model / "config.yaml").read_text())
    assert settings["context_sampling"] == "speaker"
    assert settings["initial_model"] == str(first / "model")
    final = (model / "final.ie.id").read_text()
    assert final == (second / "model/final.ie.id").read_text()
    assert final != (first / "model/final.ie.id").read_text()
    utterances = {line.split()[0] for line in (tiny_data / "feats.scp").open()}
    sure = {line.split()[0] for line in (first / "pseudo_utt2spk").open()}
    assert sure
    assert sure <= utterances
    assert f"{len(sure)} utterances have a speaker" in done.stdout
    steps = [json.loads(line)["step"] for line in (model / "train_log.jsonl").open()]
    assert steps == [5, 10]
    again = run(*step)
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    assert (model / "final.ie.id").read_text() == final
