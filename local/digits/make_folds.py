#!/usr/bin/env python3
"""Join spoken digits into strings and divide their speakers among folds, as Kaldi data directories.

    local/digits/make_folds.py --folds 3 --seed 1 --out data /corpora/fsdd

The corpus is a Kaldi data directory with `text` and `utt2spk`, or a folder of files called
`<digit>_<speaker>_<number>.wav`, as those of the Free Spoken Digit Dataset. Digits of a speaker are
joined in an order that the seed draws, three to seven in a string, each in one; pauses are made of
the quietest moments of the speaker's recordings, which hold no silence of their own. Every fold has
the strings of all speakers: of some to test on, in `fold<N>/true/test`, of the others in
`fold<N>/true/train`. Every speaker is tested in one fold.
"""

import re
from pathlib import Path

import numpy as np

from unspeech.audio.corpus import read_audio_folder, read_data_dir
from unspeech.audio.decoding import wav_bytes
from unspeech.audio.utterances import AudioError, DataAudio
from unspeech.cli.errors import UnspeechError, run_program
from unspeech.cli.limits import SEED, Number
from unspeech.cli.options import OptionParser
from unspeech.kaldi.data_dir import Tables, new_data_dir
from unspeech.kaldi.tables import invert, write_table

RATE = 16000  # Hz of the files that are written
DIGITS = (3, 7)  # in a string, at least and at most; a last one may have two more
PAUSES = (0.05, 0.3)  # seconds between digits, and before and after them
QUIET, QUIET_FRACTION = (
    400,
    0.03,
)  # samples of a quiet moment, and which fraction of all is as quiet
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def corpus_of_names(folder: Path) -> Tables:
    """Tables of a folder whose files are called `<digit>_<speaker>_<number>`.

    Raises:
        UnspeechError: for a file that is called otherwise.
    """
    wav = read_audio_folder(folder)[0]["wav.scp"]
    tables: Tables = {"wav.scp": wav, "utt2spk": {}, "text": {}}
    for utterance, path in wav.items():
        name = re.fullmatch(r"(\d)_([^_]+)_(\d+)", Path(path).stem)
        if not name:
            raise UnspeechError(
                f"{path}: the name is not <digit>_<speaker>_<number>; rename it, or give a Kaldi "
                "data directory with text and utt2spk"
            )
        tables["text"][utterance] = WORDS[int(name[1])]
        tables["utt2spk"][utterance] = name[2]
    return tables


def check_digits(corpus: Path, tables: Tables) -> None:
    """Raises UnspeechError unless every utterance has digits' names as its transcript."""
    for utterance in tables["utt2spk"]:
        words = tables.get("text", {}).get(utterance, "").split()
        strange = [word for word in words if word not in WORDS]
        if strange or not words:
            found = f"'{strange[0]}'" if strange else "no transcript"
            raise UnspeechError(
                f"{corpus / 'text'}: utterance '{utterance}': {found}; expected some of "
                f"{' '.join(WORDS)}"
            )


def quiet_moments(recordings: list[np.ndarray]) -> np.ndarray:
    """The quietest moments of some recordings.

    Args:
        recordings: each (samples,) in [-1, 1].
    Returns: (moments, QUIET), not silent altogether if there is anything else.
    """
    moments = np.concatenate([one[: len(one) // QUIET * QUIET] for one in recordings])
    moments = moments.reshape(-1, QUIET)
    moments = moments[moments.std(axis=1) > 0] if moments.any() else moments
    loudness = moments.std(axis=1)
    return moments[loudness <= np.quantile(loudness, QUIET_FRACTION)]


def pause(moments: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Quiet moments faded into one another: (samples,), as long as PAUSES says."""
    hops = int(rng.uniform(*PAUSES) * RATE / (QUIET // 2))
    samples = np.zeros((hops + 1) * (QUIET // 2), np.float32)
    for start in np.arange(hops) * (QUIET // 2):
        samples[start : start + QUIET] += rng.choice(moments) * np.hanning(QUIET)
    return samples


def join_digits(corpus: Path, tables: Tables, seed: int, out: Path) -> Tables:
    """Write strings of digits to `out`, a data directory.

    Returns: its tables; strings are called `<speaker>-<number>`.
    Raises:
        UnspeechError: for audio that cannot be used, or when `out` holds something else.
    """
    rng = np.random.default_rng(seed)
    audio = DataAudio(corpus, RATE)
    joined: Tables = {"wav.scp": {}, "utt2spk": {}, "text": {}, "utt2dur": {}}
    with new_data_dir(out) as part:
        (part / "audio").mkdir()
        for speaker, names in invert(tables["utt2spk"]).items():
            digits: dict[str, np.ndarray] = {}
            for name, samples in audio.read(names.split()):
                if isinstance(samples, AudioError):
                    raise samples
                digits[name] = samples
            moments = quiet_moments(list(digits.values()))
            left = rng.permutation(list(digits)).tolist()
            while left:
                count = rng.integers(DIGITS[0], DIGITS[1] + 1)
                if len(left) - count < DIGITS[0]:
                    count = len(left)
                said, left = left[:count], left[count:]
                pieces = [pause(moments, rng)]
                for name in said:
                    pieces += [digits[name], pause(moments, rng)]
                samples = np.concatenate(pieces)
                string = f"{speaker}-{len(joined['text']):04d}"
                file = f"audio/{string}.wav"
                (part / file).write_bytes(wav_bytes(samples, RATE))
                joined["wav.scp"][string] = str(out.absolute() / file)
                joined["utt2spk"][string] = speaker
                joined["text"][string] = " ".join(tables["text"][name] for name in said)
                joined["utt2dur"][string] = f"{len(samples) / RATE:.3f}"
        for name, table in joined.items():
            write_table(part / name, table)
        write_table(part / "spk2utt", invert(joined["utt2spk"]))
    return joined


def share_speakers(speakers: list[str], folds: int, seed: int) -> list[list[str]]:
    """The test speakers of each fold, in an order drawn from `seed`.

    Raises:
        UnspeechError: when there are too few speakers for so many folds.
    """
    if not 2 <= folds <= len(speakers):
        raise UnspeechError(
            f"--folds is {folds}, but must be 2 to {len(speakers)}, the number of speakers"
        )
    drawn = np.random.default_rng(seed).permutation(sorted(speakers)).tolist()
    return [sorted(drawn[fold::folds]) for fold in range(folds)]


def write_part(tables: Tables, speakers: set[str], out: Path) -> None:
    """Write the data directory of some speakers."""
    utt2spk = {name: one for name, one in tables["utt2spk"].items() if one in speakers}
    for name in ("wav.scp", "text", "utt2dur"):
        write_table(out / name, {key: tables[name][key] for key in utt2spk})
    write_table(out / "utt2spk", utt2spk)
    write_table(out / "spk2utt", invert(utt2spk))


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--out", required=True, type=Path, help="where data directories are put")
    parser.add_argument("--folds", type=Number(int, "[2, 100]"), default=3)
    parser.add_argument(
        "--seed", type=SEED, default=1, help="of strings and of which speakers a fold tests"
    )
    parser.add_argument("corpus", type=Path, help="data directory, or folder of digits")
    options = parser.parse_args()
    corpus = options.corpus
    if not (corpus / "wav.scp").exists():
        tables = corpus_of_names(corpus)
        corpus = options.out / "corpus"
        for name, table in tables.items():
            write_table(corpus / name, table)
    elif not (corpus / "utt2spk").exists():
        raise UnspeechError(f"{corpus / 'utt2spk'}: no such file; folds are made of speakers")
    tables, _ = read_data_dir(corpus, features=False)
    check_digits(corpus, tables)
    tables = join_digits(corpus, tables, options.seed, options.out / "strings")
    everyone = set(tables["utt2spk"].values())
    for number, tested in enumerate(
        share_speakers(list(everyone), options.folds, options.seed), start=1
    ):
        fold = options.out / f"fold{number}/true"
        write_part(tables, everyone - set(tested), fold / "train")
        write_part(tables, set(tested), fold / "test")
        print(f"{fold}: {' '.join(tested)} to test on")


if __name__ == "__main__":
    run_program(main)
