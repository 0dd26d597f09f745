"""Values that an option or a setting cannot have: refused by its name, before any work."""

import pytest
from helpers.faults import refused
from helpers.programs import ROOT

# The options with which each program is called rightly, but for the one that is tried. What they
# name need not be there: numbers are looked at first.
PROGRAMS = {
    "assign": "--embeddings e --out {out} --clusters c",
    "augment_data": "audio --data d --made {out}/m --utterances u --config c --audio {out}",
    "cluster": "--embeddings e --out {out}",
    "cluster_grid": "--embeddings e --out {out}",
    "corpus": "--out {out}/data c",
    "embed": "utterances --feats f --model m --ark {out}/e.ark",
    "evaluate": "--embeddings e --utt2spk u --out {out}",
    "fbank": "--data d --config c --ark {out}/a --scp {out}/s --num-frames {out}/n"
    " --durations {out}/d --failed {out}/f",
    "neighbours": "search --graph g",
    "show_feats": "-i f --out {out}/a.png",
    "speakers": "--feats f --utt2spk u --nj 4 --out {out}",
    "train": "--data d --dir {out}/model",
}
NO_NUMBER = ("nan", "inf", "-inf", "1e999", "x", "", "0x10", "1_000", "\u0663")
NO_INTEGER = ("nan", "1.5", "1e3", "x", "", "99999999999", "-99999999999", "1_0", "\u0663")
OPTIONS = {  # those of each program, and what else they cannot be
    ("assign", "--min-probability", float): ("-0.1", "1.1"),
    ("assign", "--threads", int): ("0", "-1", "100000"),
    ("augment_data", "--copies", int): ("-1",),
    ("augment_data", "--voices", int): ("-1",),
    ("augment_data", "--seed", int): ("-1",),
    ("cluster", "--cluster-selection-epsilon", float): ("-0.1",),
    ("cluster", "--dbscan-eps", float): ("0", "-1"),
    ("cluster", "--half-index", int): ("0", "-2"),
    ("cluster", "--min-cluster-size", int): ("1", "0"),
    ("cluster", "--min-samples", int): ("0",),
    ("cluster", "--n-clusters", int): ("0",),
    ("cluster", "--seed", int): ("-1",),
    ("cluster_grid", "--min-cluster-size", int): ("3,1", "3,,4", "3;4"),
    ("cluster_grid", "--min-samples", int): ("0,1",),
    ("corpus", "--join-seconds", float): ("-1",),
    ("embed", "--period", int): ("0", "-10"),
    ("embed", "--test-perf-samples", int): ("0",),
    ("embed", "--seed", int): ("-1",),
    ("evaluate", "--cohort-top", int): ("0",),
    ("evaluate", "--max-spks", int): ("0", "1", "-2"),
    ("evaluate", "--random-seed", int): ("-1",),
    ("evaluate", "--seed", int): ("-1",),
    ("fbank", "--max-failed", int): ("-1",),
    ("fbank", "--seed", int): ("-1",),
    ("neighbours", "--job", int): ("0",),
    ("neighbours", "--jobs", int): ("0",),
    ("show_feats", "--num-feat", int): ("-1",),
    ("show_feats", "--max-frames", int): ("0",),
    ("speakers", "--nj", int): ("0", "-4"),
    ("speakers", "--utts-per-spk-max", int): ("0", "-2"),
    ("train", "--max-minutes", float): ("0", "-1"),
    ("train", "--num-gpus", int): ("-1",),
    ("train", "--num-workers", int): ("0",),
    ("train", "--worker", int): ("0",),
}


def cases() -> list:
    """Every option with the values of its own, and with some of those that no number is."""
    found = []
    for i, ((program, option, kind), own) in enumerate(OPTIONS.items()):
        common = NO_NUMBER if kind is float else NO_INTEGER
        for value in dict.fromkeys((*own, common[0], *(common[(i + j) % 9] for j in range(3)))):
            found.append((program, option, value))
    return found


@pytest.mark.parametrize(("program", "option", "value"), cases())
def test_number_of_an_option(program, option, value, tmp_path):
    words = PROGRAMS[program].format(out=tmp_path / "out").split()
    says = f"{option}: takes a"
    refused(program, *words, f"{option}={value}", says=says, out=tmp_path)


SETTINGS = {
    "learn_rate": ("nan", "inf", "-0.1", "1e999", "fast"),
    "l2_reg": ("nan", "-1"),
    "gradient_clipping": ("nan", "-1", "inf"),
    "dropout_keep_prob": ("0", "1.5", "nan"),
    "heldout_fraction": ("0", "1", "-0.5"),
    "batch_size": ("1", "0", "-32", "3.5", "99999999999"),
    "window_length": ("0", "-64", "64.0"),
    "embedding_size": ("0", "1e2", "999999999"),
    "fc_size": ("-1",),
    "num_steps": ("0", "-1", "inf"),
    "steps_per_checkpoint": ("0",),
    "seed": ("-1", "2147483648"),
    "left_contexts": ("-1",),
    "negative_samples": ("-1", "all"),
    "feat_size": ("0",),
    "batch_normalization_decay": ("1", "nan"),
    "initial_scale": ("0", "nan"),
    "margin": ("nan",),
    "augment_noise": ("1.5", "nan"),
    "tied_embeddings_transforms": ("maybe", "2"),
}
PAIRS = [(name, value) for name, values in SETTINGS.items() for value in values]


@pytest.mark.parametrize(("name", "value"), PAIRS)
def test_setting_on_the_command_line(name, value, tmp_path):
    option = f"--{name}={value}"
    says = ("command line", name, value)
    refused("train", "--data", "d", "--dir", tmp_path / "model", option, says=says, out=tmp_path)


@pytest.mark.parametrize(("name", "value"), PAIRS[::3])
def test_setting_in_a_file(name, value, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(f"{name}: {value}\n")
    command = ["--config", config, "--data", "d", "--dir", tmp_path / "out/model"]
    refused("train", *command, says=(config, name), out=tmp_path / "out")


FILES = {
    "Latin-1": (b"seed: 1 # \xe9\n", ":1: not a text file in UTF-8"),
    "carriage returns": (b"seed: 1\r\n", ":1: holds a carriage return"),
    "byte order mark": (b"\xef\xbb\xbfseed: 1\n", "begins with a byte order mark"),
    "NUL": (b"seed: 1\n\0\n", ":2: holds a NUL byte"),
    "empty": (b"", "expected lines of"),
    "a list": (b"- seed\n", "expected lines of"),
    "a word": (b"seed\n", "expected lines of"),
    "no YAML": (b"seed: [1\nfoo: }\n", "not valid YAML"),
    "brackets": (b"[" * 5000, "not valid YAML"),
    "several values": (b"seed: [1, 2]\n", "seed takes one value"),
    "nothing": (b"seed:\n", "seed has no value"),
    "an unknown one": (b"sead: 1\n", "unknown setting 'sead'"),
    "an object": (b"seed: !!python/object/apply:os.system ['touch executed']\n", "not valid YAML"),
}


@pytest.mark.parametrize("fault", FILES)
def test_file_of_settings(fault, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, says = FILES[fault]
    config = tmp_path / "config.yaml"
    config.write_bytes(content)
    command = ["--config", config, "--data", "d", "--dir", tmp_path / "out/model"]
    refused("train", *command, says=(config, says), out=tmp_path / "out")
    assert not (tmp_path / "executed").exists()


FBANK = {
    b"--frame-shift=0.001": "--frame-shift takes a finite number, at least 0.1",
    b"--frame-shift=nan": "--frame-shift takes a finite number",
    b"--frame-shift=0": "--frame-shift takes a finite number",
    b"--frame-shift=1e9": "--frame-shift takes a finite number",
    b"--frame-length=0": "--frame-length takes a finite number",
    b"--frame-length=1e9": "--frame-length takes a finite number",
    b"--dither=nan": "--dither takes a finite number",
    b"--dither=-1": "--dither takes a finite number",
    b"--dither=inf": "--dither takes a finite number",
    b"--preemphasis-coefficient=7": "--preemphasis-coefficient takes a finite number",
    b"--preemphasis-coefficient=nan": "--preemphasis-coefficient takes a finite number",
    b"--num-mel-bins=0": "--num-mel-bins takes an integer",
    b"--num-mel-bins=9999": "num_mel_bins too large",
    b"--sample-frequency=0": "--sample-frequency takes a finite number",
    b"--sample-frequency=16000.5": "sample-frequency must be a whole number",
    b"--sample-frequency=1e12": "--sample-frequency takes a finite number",
    b"--low-freq=-5": "--low-freq takes a finite number",
    b"--high-freq=10": "high-freq 10",
    b"--energy-floor=-1": "--energy-floor takes a finite number",
    b"--snip-edges=2": "--snip-edges takes true or false",
    b"--window-type=round": "invalid window type",
    b"--no-such-option=1": "unknown option",
    b"--dither=1 \xe9": "not a text file in UTF-8",
    b"--dither=1\r": "holds a carriage return",
    b"--dither=\0": "holds a NUL byte",
}


@pytest.mark.parametrize("line", FBANK)
def test_file_of_feature_options(line, tmp_path):
    config = tmp_path / "fbank.conf"
    config.write_bytes((ROOT / "conf/fbank.conf").read_bytes() + line + b"\n")
    words = PROGRAMS["fbank"].format(out=tmp_path / "out").replace("--config c ", "").split()
    refused("fbank", *words, "--config", config, says=(config, FBANK[line]), out=tmp_path / "out")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("cluster", "--embeddings e"),
        ("cluster", "--embeddings e --out o --no-such-option 1"),
        ("cluster", "--embeddings e --out o --metric cosin"),
        ("cluster", "--embeddings e --out o --min-sample 3"),
        ("cluster", "--embeddings e --out o more"),
        ("embed", "vectors --feats f --model m --ark a"),
        ("corpus", "--out o"),
        ("evaluate", "--embeddings e --out o --utt2spk"),
        ("train", "--data d --dir m --worker 2"),
    ],
)
def test_wrong_calls(program, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(program, *words.split(), says="--", out=tmp_path)
