"""Split utterances among jobs so that each speaker's are in one job.

    python3 -m unspeech.speakers --feats data/dev/feats.scp --utt2spk data/dev/utt2spk \\
      --utts-per-spk-max 2 --nj 4 --out exp/ivectors_dev/split

Leaves `feats.JOB.scp` and `feats.JOB.spk2utt` (the name is that of the file) and prints the number
of jobs.
"""

from pathlib import Path

from unspeech.cli.errors import run_program
from unspeech.cli.limits import COUNT, Number
from unspeech.cli.options import OptionParser
from unspeech.files.atomic import atomic_write
from unspeech.kaldi.speakers import split_speakers
from unspeech.kaldi.tables import read_table, speakers_of


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--feats", required=True, type=Path, help="table of the utterances")
    parser.add_argument("--utt2spk", required=True, help="speaker of each of them, and of others")
    parser.add_argument(
        "--utts-per-spk-max",
        type=Number(int, "[1, inf)", special=-1),
        default=-1,
        help="cut larger speakers",
    )
    parser.add_argument(
        "--nj", type=COUNT, required=True, help="jobs, if there are as many speakers"
    )
    parser.add_argument("--out", required=True, type=Path, help="directory")
    options = parser.parse_args()
    most = options.utts_per_spk_max
    feats = read_table(options.feats)
    speakers_of(feats, options.utt2spk)  # each has one
    jobs: dict[int, dict[str, list[str]]] = {}
    before = 0
    for speaker, utterances in split_speakers(read_table(options.utt2spk), most).items():
        own = [utterance for utterance in utterances if utterance in feats]
        if own:
            jobs.setdefault(before * options.nj // len(feats), {})[speaker] = own
            before += len(own)
    name = options.feats.name.removesuffix(".scp")
    for number, speakers in enumerate(jobs.values(), start=1):
        with atomic_write(options.out / f"{name}.{number}.spk2utt") as file:
            file.writelines(f"{speaker} {' '.join(own)}\n" for speaker, own in speakers.items())
        with atomic_write(options.out / f"{name}.{number}.scp") as file:
            file.writelines(f"{u} {feats[u]}\n" for own in speakers.values() for u in own)
    print(len(jobs))


if __name__ == "__main__":
    run_program(main)
