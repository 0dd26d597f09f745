"""docs/original.md: every option of the original program is there, and what is said of it holds."""

import dataclasses
import importlib
import re
import sys

import pytest
from helpers.programs import ROOT, call_fails
from helpers.shell import STEPS

from unspeech.cli.errors import run_program
from unspeech.cli.options import OptionParser
from unspeech.embedding.rows import RowOptions
from unspeech.files.settings import read_yaml
from unspeech.kaldi.features import MemmapOptions
from unspeech.network.config import Config
from unspeech.network.config_files import make_config

# Options of the original's programs, as `unsup_model_neg.py`, `cluster.py` and `show_feats.py`
# declare them.
OPTIONS = {
    "unsup_model_neg.py": """
        filelist spk2utt ali_ctm end_to_end feat_size debug gen_feats tnse_viz_speakers
        test_sampling sample_2x_neg generate_kaldi_output_feats output_kaldi_ark
        generate_challenge_output_feats genfeat_combine_contexts genfeat_combine_fbank genfeat_boost
        genfeat_stride genfeat_interpolate_outputlength_padding genfeat_kaldi_meannorm
        genfeat_max_length generate_fbank_segmentation generate_speaker_vectors hop_size
        genfeat_hopsize kaldi_normalize_to_input_length memmap_reuse_cache memmap_dir memmap_dtype
        model_name sample_rate filter_sizes num_filters window_length window_neg_length
        left_contexts right_contexts left_gap right_gap embedding_size fc_size rnn_hidden_cells
        first_layer_tanh first_layer_log1p embedding_transformation dense_block_filters
        dense_block_layers_connected dense_block_filters_transition num_highway_layers
        num_dnn_layers dynamic_windows tied_embeddings_transforms tied_final_embeddings_transforms
        use_weighted_loss_func use_dot_combine unit_normalize unit_normalize_var
        minimum_speaker_length negative_samples test_perf_samples test_perf debug_visualize
        debug_visualize_batch batch_size batch_normalization force_resnet_istraining
        batch_normalization_decay dropout_keep_prob l2_reg steps_per_checkpoint steps_per_summary
        checkpoints_per_save allow_soft_placement log_device_placement learn_rate gradient_clipping
        log_tensorboard train_dir output_feat_file output_feat_format device""",
    "cluster.py": """
        mode cluster-algorithm n-clusters hdbscan_min_cluster_sizes hdbscan_min_samples_str
        dbscan-eps wav-files input-ark utt2spk output_utt2spk hopping-size window-size subsampling
        sampling-rate set half_index max_spks metric random_seed alignment_dir""",
    "show_feats.py": "input_featfile format max_frames num_feat phn_file utt_2_class mode",
}
HERE = {  # where options that are the same belong
    "unsup_model_neg.py": ("train", "embed"),
    "cluster.py": ("cluster", "cluster_grid", "evaluate"),
    "show_feats.py": ("show_feats",),
}


def tables() -> dict[str, list[list[str]]]:
    """{program: rows of its table: (original, here, remarks)}."""
    found, program = {}, None
    for line in (ROOT / "docs/original.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## ") and not line.startswith("## `"):
            program = None
        if line.startswith("## `"):
            program = line.strip("# `")
            found[program] = []
        elif line.startswith("| `") and program:
            found[program].append([cell.strip() for cell in line.strip("| ").split(" | ")])
    return found


def default_rows() -> list[tuple[str, str, str, str | None]]:
    """(program, option, original's default, ours where it differs) of what the page says."""
    text = (ROOT / "docs/original.md").read_text(encoding="utf-8")
    text = text.partition("## Defaults")[2].partition("## How fast")[0]
    rows = []
    for line in text.splitlines():
        if line.startswith("| `"):
            program, options, theirs, ours, why = line.strip("| ").split(" | ")
            assert why
            rows += [(program.strip("`"), name, theirs, ours) for name in quoted(options)]
    for word in text.split("```")[1].split():
        if word.endswith(":"):
            program = word[:-1]
        else:
            name, theirs = word.split("=")
            rows.append((program, name, theirs.strip('"'), None))
    return rows


def our_defaults(monkeypatch) -> dict[str, dict[str, object]]:
    """{program of the original: {option: default here}}."""
    parsers = []

    def stop(parser, *_):
        parsers.append(parser)
        raise SystemExit(0)

    monkeypatch.setattr(OptionParser, "parse_args", stop)
    found = {}
    for program, ours in HERE.items():
        found[program] = {}
        for name in ours[::-1]:  # the first one's count most
            parsers.clear()
            with pytest.raises(SystemExit):
                importlib.import_module(f"unspeech.{name}").main()
            found[program] |= {a.dest: a.default for a in parsers[0]._actions}
    for kind in (MemmapOptions, RowOptions, Config):
        own = {field.name: field.default for field in dataclasses.fields(kind)}
        found["unsup_model_neg.py"] |= own
    return found


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def same_options() -> list[tuple[str, str]]:
    return [
        (program, name)
        for program, rows in tables().items()
        for row in rows
        if row[1].startswith("same")
        for name in quoted(row[0])
    ]


@pytest.fixture(scope="module")
def helps():
    """What each program prints for --help."""
    known = {}

    def of(program: str, capsys) -> str:
        if program not in known:
            argv, sys.argv = sys.argv, [program, "--help"]
            try:
                with pytest.raises(SystemExit) as stop:
                    run_program(importlib.import_module(f"unspeech.{program}").main)
            finally:
                sys.argv = argv
            assert not stop.value.code
            known[program] = capsys.readouterr().out
        return known[program]

    return of


@pytest.mark.parametrize("program", OPTIONS)
def test_every_option_of_the_original_has_a_row(program):
    named = " ".join(name for row in tables()[program] for name in quoted(row[0])).split()
    missing = [name for name in OPTIONS[program].split() if name not in named]
    assert not missing


@pytest.mark.parametrize(("program", "name"), same_options())
def test_what_is_the_same_is_an_option_of_that_name(program, name, helps, capsys):
    option, *values = name.split()
    text = "\n".join(helps(ours, capsys) for ours in HERE[program])
    words = set(re.findall(r"--[\w-]+", text.replace("_", "-")))
    assert f"--{option.replace('_', '-')}" in words
    assert all(re.search(rf"\b{value}\b", text) for value in values)


@pytest.mark.parametrize("original", OPTIONS)
def test_every_option_of_the_original_is_taken_or_answered(original, capsys):
    for program in HERE[original]:
        for option in OPTIONS[original].split():
            message = call_fails(program, f"--{option}")
            unknown = f"unknown option --{option.replace('_', '-')}"
            assert not message.startswith(f"{unknown};"), f"{program}: no answer to {message}"


def test_defaults_are_the_originals_or_said_to_differ(monkeypatch):
    ours = our_defaults(monkeypatch)
    rows = default_rows()
    assert len({row[:2] for row in rows}) == len(rows), "an option has one row"
    for program, name, theirs, here in rows:
        default = ours[program][name]
        text = "" if default is None else str(default)
        assert text == (theirs if here is None else here), name
        assert text != theirs or here is None, f"{name} does not differ"
    # Options that the tables call the same, those that need a value aside, are all there.
    named = {(program, name) for program, name, *_ in rows}
    needed = {"input_featfile", "mode", "output_feat_format"}
    for program, option in same_options():
        name = option.split()[0].replace("-", "_")
        assert (program, name) in named or name in needed, name


def test_the_published_settings_say_what_l2_reg_does():
    for name in ("64", "128"):
        lines = (ROOT / f"conf/unspeech_{name}.yaml").read_text().splitlines()
        (line,) = [line for line in lines if line.startswith("l2_reg")]
        assert "never added it to its loss" in line
    assert make_config(read_yaml(ROOT / "conf/unspeech_64.yaml"), "64").num_steps == 394_000


def test_what_else_the_tables_name_exists():
    for row in (row for rows in tables().values() for row in rows):
        for word in quoted(row[1]):
            for script in re.findall(r"\b\w+\.sh\b", word):
                assert (STEPS / script).exists(), word
            for module in re.findall(r"unspeech\.(\w+)", word):
                assert (ROOT / f"python/unspeech/{module}.py").exists(), word
            for page in re.findall(r"docs/\w+\.md", word):
                assert (ROOT / page).exists(), word


def test_what_is_gone_is_no_option(helps, capsys):
    for program, rows in tables().items():
        text = "\n".join(helps(ours, capsys) for ours in HERE[program]).replace("_", "-")
        words = set(re.findall(r"--[\w-]+", text))
        for row in rows:
            if row[1].startswith("gone"):
                assert row[2], f"{row[0]}: why?"
                names = {f"--{name.split()[0].replace('_', '-')}" for name in quoted(row[0])}
                assert not (names - {"--mode"}) & words, row[0]
