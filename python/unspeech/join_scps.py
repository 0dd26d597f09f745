"""Join the scp files that a step's jobs left, sorted by utterance.

    python3 -m unspeech.join_scps --out exp/iv/ivector_online.scp exp/iv/ivector_online.{1,2}.scp

With `--ark`, the arrays themselves are copied into that one archive; parts may be archives then.
"""

from pathlib import Path

from unspeech.cli.errors import run_program
from unspeech.cli.options import OptionParser
from unspeech.files.atomic import atomic_write
from unspeech.kaldi.archives import ArkWriter, iterate_arrays, join_scps, read_array


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--out", required=True, type=Path, help="joined scp file")
    parser.add_argument("--ark", type=Path, help="archive to copy the arrays into")
    parser.add_argument("parts", nargs="+", help="scp files of the jobs, or archives")
    options = parser.parse_args()
    if options.ark and options.parts[0].endswith((".ark", ".ark.gz")):
        with ArkWriter(options.ark, options.out) as writer:
            for part in options.parts:
                for utterance, array in iterate_arrays(part):
                    writer.write(utterance, array)
        print(f"{options.out}: {writer.count} utterances")
        return
    entries = join_scps(options.parts)
    if options.ark:
        with ArkWriter(options.ark, options.out) as writer:
            for utterance, (entry, part) in entries.items():
                writer.write(utterance, read_array(utterance, entry, part))
    else:
        with atomic_write(options.out) as file:
            file.writelines(f"{utterance} {entry}\n" for utterance, (entry, _) in entries.items())
    print(f"{options.out}: {len(entries)} utterances")


if __name__ == "__main__":
    run_program(main)
