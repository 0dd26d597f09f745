#!/usr/bin/env python3
"""Write the table of word error rates that local/digits/run.sh ends with.

    local/digits/results.py --folds 3 --dir exp/digits --out exp/digits/RESULTS.md

Each rate is Kaldi's best over weights of the language model and penalties of a word, as
`steps/score_kaldi.sh` leaves it. The last column counts the errors of all folds together.
"""

import json
import re
from pathlib import Path

from unspeech.errors import UnspeechError, run_program
from unspeech.limits import Number
from unspeech.options import OptionParser
from unspeech.tables import atomic_write, read_table

SYSTEMS = {
    "mono": "GMM, monophones",
    "tri1": "GMM, triphones",
    "tri2": "GMM, triphones, LDA and MLLT",
    "tri3": "GMM, triphones, speaker-adapted",
    "tdnn": "chain TDNN, no adaptation",
    "tdnn_ivectors": "chain TDNN, Kaldi's i-vectors",
    "tdnn_unspeech": "chain TDNN, Unspeech",
}


def best_wer(decode: Path) -> tuple[int, int]:
    """Errors and words of a decoding.

    Raises:
        UnspeechError: when it has not been scored.
    """
    path = decode / "scoring_kaldi/best_wer"
    text = path.read_text() if path.exists() else ""
    counts = re.search(r"%WER \S+ \[ (\d+) / (\d+),", text)
    if not counts:
        raise UnspeechError(f"{path}: no word error rate; call run.sh again, from an earlier stage")
    return int(counts[1]), int(counts[2])


def wer_table(folder: Path, folds: int) -> list[str]:
    """Lines of the table, in Markdown: a row a system, a column a fold."""
    tested = [
        ", ".join(read_table(folder / f"data/fold{fold}/test/spk2utt"))
        for fold in range(1, folds + 1)
    ]
    lines = [f"| speakers | system | {' | '.join(tested)} | all |", "|---" * (folds + 3) + "|"]
    for speakers, suffix in (("true", ""), ("clusters", "_clusters")):
        for name, system in SYSTEMS.items():
            decodes = [
                folder / f"exp/fold{fold}{suffix}/{name}/decode" for fold in range(1, folds + 1)
            ]
            if suffix and not decodes[0].exists():
                continue  # what does not depend on speaker IDs is not trained again
            counts = [best_wer(decode) for decode in decodes]
            counts.append(tuple(map(sum, zip(*counts, strict=True))))
            rates = [f"{100 * errors / words:.2f}" for errors, words in counts]
            lines.append(f"| {speakers} | {system} | {' | '.join(rates)} |")
    return lines


def cluster_table(folder: Path, folds: int) -> list[str]:
    """Lines of a table that says how the clusters differ from the speakers."""
    lines = ["| fold | part | clusters / speakers | outliers | ARI | NMI |", "|---" * 6 + "|"]
    for fold in range(1, folds + 1):
        for part in ("train", "test"):
            path = folder / f"exp/fold{fold}/unspeech/eval/{part}/scores.json"
            scores = json.loads(path.read_text())
            lines.append(
                f"| {fold} | {part} | {scores['clusters']} / {scores['speakers']} | "
                f"{scores['outliers']} of {scores['utterances']} | "
                f"{scores['ari']:.2f} | {scores['nmi']:.2f} |"
            )
    return lines


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--dir", required=True, type=Path, help="of a run of local/digits/run.sh")
    parser.add_argument("--folds", required=True, type=Number(int, "[1, 100]"))
    parser.add_argument("--out", required=True, type=Path, help="file to write")
    options = parser.parse_args()
    lines = ["Word error rates in %, each fold's on the speakers that its column names:", ""]
    lines += [*wer_table(options.dir, options.folds), "", "The clusters:", ""]
    lines += cluster_table(options.dir, options.folds)
    with atomic_write(options.out) as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    run_program(main)
