#!/usr/bin/env python3
"""Make data directories and a dictionary of SpeechOcean762, from its published folder.

    local/speechocean762/make_data.py --out data /corpora/speechocean762

Writes `<out>/true/train` and `<out>/true/test` as Kaldi data directories, `<out>/dict` for
`utils/prepare_lang.sh`, and `<out>/lm_text`, the training transcripts. With --held-out N, the test
is N of the training speakers, and the published test part is not touched: to choose settings on.
"""

import re
from pathlib import Path

from unspeech.cli.errors import UnspeechError, run_program
from unspeech.cli.limits import Number
from unspeech.cli.options import OptionParser
from unspeech.files.atomic import atomic_write
from unspeech.kaldi.tables import invert, read_table, write_table

TABLES = ("wav.scp", "text", "utt2spk")
SILENCE = ("<SIL> SIL", "<UNK> SPN")


def read_part(corpus: Path, part: str) -> dict[str, dict[str, str]]:
    """Tables of `train` or `test`, with paths that hold anywhere.

    Raises:
        UnspeechError: when a table, an utterance's line or its recording is missing.
    """
    tables = {name: read_table(corpus / part / name) for name in TABLES}
    for utterance, path in tables["wav.scp"].items():
        for name in TABLES:
            if utterance not in tables[name]:
                raise UnspeechError(
                    f"{corpus / part / name}: no line for utterance '{utterance}'; take the folder "
                    "as it is published"
                )
        audio = corpus / path  # published paths are relative to the folder
        if not audio.exists():
            raise UnspeechError(
                f"{audio}: no such file; utterance '{utterance}' of {corpus / part / 'wav.scp'}"
            )
        tables["wav.scp"][utterance] = str(audio)
    return tables


def hold_out(speakers: list[str], count: int) -> set[str]:
    """Some speakers, at even distances: numbers follow no plan, so this is as good as a draw."""
    return {speakers[index * len(speakers) // count] for index in range(count)}


def write_part(tables: dict[str, dict[str, str]], speakers: set[str], out: Path) -> None:
    """Write the data directory of some speakers."""
    chosen = sorted(name for name, speaker in tables["utt2spk"].items() if speaker in speakers)
    for name, table in tables.items():
        write_table(out / name, {utterance: table[utterance] for utterance in chosen})
    write_table(out / "spk2utt", invert({name: tables["utt2spk"][name] for name in chosen}))


def read_lexicon(path: Path) -> list[tuple[str, str]]:
    """Words with their phones, one or more of each.

    Raises:
        UnspeechError: for a line without phones.
    """
    entries = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        word, *phones = line.split() or [""]
        if not phones:
            raise UnspeechError(f"{path}: line {number}: expected a word and its phones")
        entries.append((word, " ".join(phones)))
    return sorted(set(entries))


def write_dict(lexicon: list[tuple[str, str]], out: Path) -> None:
    """Write what `utils/prepare_lang.sh` takes: a vowel's stresses are one phone to its trees,
    which may also ask for the stress."""
    phones = sorted({phone for _, said in lexicon for phone in said.split()})
    plain: dict[str, list[str]] = {}
    stress: dict[str, list[str]] = {}
    for phone in phones:
        name, number = re.fullmatch(r"(.*?)(\d?)", phone).groups()
        plain.setdefault(name, []).append(phone)
        stress.setdefault(number, []).append(phone)
    files = {
        "lexicon.txt": [*SILENCE, *(f"{word} {said}" for word, said in lexicon)],
        "silence_phones.txt": ["SIL", "SPN"],
        "optional_silence.txt": ["SIL"],
        "nonsilence_phones.txt": [" ".join(group) for group in plain.values()],
        "extra_questions.txt": ["SIL SPN", *(" ".join(group) for group in stress.values())],
    }
    for name, lines in files.items():
        with atomic_write(out / name) as file:
            file.write("\n".join(lines) + "\n")


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--out", required=True, type=Path, help="where data directories are put")
    parser.add_argument(
        "--held-out", type=Number(int, "[0, 124]"), default=0, help="speakers of train to test on"
    )
    parser.add_argument("corpus", type=Path, help="the published folder")
    options = parser.parse_args()
    corpus, true = options.corpus, options.out / "true"
    train = read_part(corpus, "train")
    test = train if options.held_out else read_part(corpus, "test")
    everyone = sorted(set(train["utt2spk"].values()))
    if options.held_out >= len(everyone):
        raise UnspeechError(f"--held-out {options.held_out}: there are {len(everyone)} speakers")
    tested = set(test["utt2spk"].values())
    if options.held_out:
        tested = hold_out(everyone, options.held_out)
    write_part(train, set(everyone) - tested, true / "train")
    write_part(test, tested, true / "test")

    lexicon = read_lexicon(corpus / "resource/lexicon.txt")
    known = {word for word, _ in lexicon}
    for part, tables in (("train", train), ("test", test)):
        for utterance, text in tables["text"].items():
            if missing := [word for word in text.split() if word not in known]:
                raise UnspeechError(
                    f"{corpus / part / 'text'}: utterance '{utterance}': '{missing[0]}' is not in "
                    f"{corpus / 'resource/lexicon.txt'}; add it there"
                )
    write_dict(lexicon, options.out / "dict")
    said = read_table(true / "train/text").values()
    with atomic_write(options.out / "lm_text") as file:
        file.write("\n".join(said) + "\n")
    print(
        f"{options.out}: {len(set(everyone) - tested)} speakers to train on, {len(tested)} to test"
    )


if __name__ == "__main__":
    run_program(main)
