"""Which utterances of a data directory are copies of others, and what they are copies of.

`utt2uniq` says it, as Kaldi's scripts and ours write it. For an utterance that it lacks, the name
tells: a copy at another speed begins with `sp0.9-`, `sp1.1-` and so on.

    python3 -m unspeech.copies --data data/train_sp --out originals.scp exp/embeddings/embedding.scp

writes a table without the copies whose originals it has.
Source: Kaldi's `utils/data/perturb_data_dir_speed.sh`, `steps/data/augment_data_dir.py`.
"""

from pathlib import Path

from unspeech.cli.errors import run_program
from unspeech.cli.options import OptionParser
from unspeech.kaldi.copies import original_of, read_originals
from unspeech.kaldi.tables import read_table, write_table


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--data", required=True, type=Path, help="data directory of the utterances")
    parser.add_argument("--out", required=True, type=Path, help="the table without copies")
    parser.add_argument("table", type=Path, help="table of utterances, such as embedding.scp")
    options = parser.parse_args()
    table, originals = read_table(options.table), read_originals(options.data)
    kept = {
        utterance: entry
        for utterance, entry in table.items()
        if (original := original_of(utterance, originals)) == utterance or original not in table
    }
    write_table(options.out, kept)
    print(f"{options.out}: {len(kept)} of {len(table)} utterances, without copies of others")


if __name__ == "__main__":
    run_program(main)
