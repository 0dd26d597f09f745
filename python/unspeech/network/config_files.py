"""Settings checked and made a Config, and kept in `config.yaml`."""

import argparse
import dataclasses
from pathlib import Path

from unspeech.cli.errors import UnspeechError
from unspeech.files.settings import given_options, read_yaml, typed_values, write_yaml
from unspeech.network.config import SPEAKER_DRAWS, Config
from unspeech.network.pooling import statistics_named

CONTEXT_SAMPLING = ("adjacent", "recording", "speaker")
SCHEDULES = ("constant", "cosine")


def make_config(values: dict, source: str | Path) -> Config:
    """Check settings and make a Config of them.

    Args:
        values: {name: value}; a name that is not given keeps its default.
        source: where the settings come from, for error messages.
    Raises:
        UnspeechError: for an unknown name, a wrong type or a value out of range.
    """
    config = Config(**typed_values(values, Config, source))
    if config.left_gap > config.left_contexts or config.right_gap > config.right_contexts:
        raise UnspeechError(f"{source}: a gap is larger than the contexts that it is part of")
    statistics_named(config.pooling, source)
    if not config.has_network:
        if config.end_to_end or not config.solve_head:
            raise UnspeechError(
                f"{source}: embedding_transformation Statistics takes features and a solved head: "
                "set end_to_end to false and solve_head to true"
            )
    elif config.embedding_size == 0:
        raise UnspeechError(
            f"{source}: embedding_size 0 goes with embedding_transformation Statistics: set a size"
        )
    if config.contexts == 0:
        raise UnspeechError(f"{source}: no context windows, so no positive pairs: more contexts")
    if config.context_sampling not in CONTEXT_SAMPLING:
        raise UnspeechError(
            f"{source}: context_sampling must be one of {', '.join(CONTEXT_SAMPLING)}, not "
            f"'{config.context_sampling}'"
        )
    if (config.context_sampling == "speaker") != bool(config.pseudo_utt2spk):
        raise UnspeechError(f"{source}: context_sampling speaker and pseudo_utt2spk go together")
    if config.context_sampling != "adjacent" and (config.spk2utt or config.ali_ctm):
        raise UnspeechError(f"{source}: spk2utt and ali_ctm need context_sampling adjacent")
    if config.objective != "logistic" and not config.use_dot_combine:
        raise UnspeechError(f"{source}: use_dot_combine false needs the objective logistic")
    if config.learn_rate_schedule not in SCHEDULES:
        raise UnspeechError(
            f"{source}: learn_rate_schedule must be one of {', '.join(SCHEDULES)}, not "
            f"'{config.learn_rate_schedule}'"
        )
    if config.augmented and (
        config.ali_ctm or config.end_to_end or config.window_length != config.window_neg_length
    ):
        raise UnspeechError(
            f"{source}: augment_… need windows of FBANK, targets and contexts of one length"
        )
    if config.embedding_transformation == "ECAPA" and config.tdnn_channels % 4:
        raise UnspeechError(f"{source}: ECAPA needs tdnn_channels that are a multiple of 4")
    if config.ali_ctm and not config.dynamic:
        raise UnspeechError(
            f"{source}: units of ali_ctm have any length; embedding_transformation "
            f"{config.embedding_transformation} does not take them: use a Dynamic_ one"
        )
    if config.spk2utt and config.batch_size % SPEAKER_DRAWS:
        raise UnspeechError(
            f"{source}: with spk2utt batch_size must be divisible by {SPEAKER_DRAWS}"
        )
    if config.end_to_end and config.dynamic:
        raise UnspeechError(
            f"{source}: end_to_end needs windows of one length; choose an encoder other than "
            f"{config.embedding_transformation}"
        )
    if config.tied_embeddings_transforms and config.window_length != config.window_neg_length:
        raise UnspeechError(
            f"{source}: window_length {config.window_length} and window_neg_length "
            f"{config.window_neg_length} differ: set tied_embeddings_transforms to false"
        )
    return config


def write_config(path: str | Path, config: Config) -> None:
    """Write every setting, in the order of the class."""
    write_yaml(path, dataclasses.asdict(config))


def config_from_options(options: argparse.Namespace, yaml_path: str | Path | None) -> Config:
    """Settings from the YAML file, overridden by what the command line gives."""
    values = read_yaml(yaml_path) if yaml_path else {}
    return make_config(values | given_options(options, Config), yaml_path or "command line")
