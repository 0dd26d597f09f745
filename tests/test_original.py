"""docs/original.md: every option of the original program is there, and what is said of it holds."""

import importlib
import re
import sys

import pytest
from conftest import ROOT
from shell import STEPS

from unspeech.errors import run_program

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
        if line.startswith("## `"):
            program = line.strip("# `")
            found[program] = []
        elif line.startswith("| `"):
            found[program].append([cell.strip() for cell in line.strip("| ").split(" | ")])
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
