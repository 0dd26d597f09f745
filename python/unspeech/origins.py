"""What a file holds and points to, in one digest: whether an output is still that of its inputs.

    python3 -m unspeech.origins data/train/wav.scp

prints the digest. An scp file can stay the same while the archives or the audio that it names are
replaced, so sizes and times of those are part of its digest.
"""

import sys

from unspeech.cli.errors import run_program
from unspeech.files.origins import file_key


def main() -> None:
    print(file_key(sys.argv[1]))


if __name__ == "__main__":
    run_program(main)
