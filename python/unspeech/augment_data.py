"""Copies of a data directory's utterances, through other rooms and microphones or in other voices.

    python3 -m unspeech.augment_data audio --data data/train --utterances utts.1 --seed 1 \\
        --config conf/augment.yaml --copies 2 --voices 1 --audio exp/aug --made made.1
    python3 -m unspeech.augment_data tables --data data/train --made made.1,made.2 --out data/aug

Copies `aug1-<utterance>`, `aug2-…` keep the voice: rooms, noise, colour, band limits and codecs
differ, the level too. Copies `voice1-…` have another pitch, speed and formants, the same in all
utterances of a recording, and count as other speakers. `utt2uniq` names each copy's original.
Source: J. B. Allen and D. A. Berkley, "Image method for efficiently simulating small-room
acoustics", JASA 1979; Kaldi's `steps/data/reverberate_data_dir.py` and `augment_data_dir.py`.
"""

from pathlib import Path

from unspeech.audio.augmentation import make_audio, make_tables
from unspeech.cli.errors import run_program
from unspeech.cli.limits import SEED, Number
from unspeech.cli.options import OptionParser


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("what", choices=["audio", "tables"])
    parser.add_argument("--data", required=True, type=Path, help="data directory with audio")
    parser.add_argument(
        "--made", required=True, type=lambda text: [Path(word) for word in text.split(",")],
        help="lists of copies, commas between: what `audio` leaves and `tables` reads",
    )  # fmt: skip
    parser.add_argument("--utterances", type=Path, help="file of utterances to copy")
    parser.add_argument("--config", type=Path, help="what copies sound like, conf/augment.yaml")
    parser.add_argument(
        "--copies", type=Number(int, "[0, 1000]"), default=1, help="of an utterance's voice (1)"
    )
    parser.add_argument(
        "--voices", type=Number(int, "[0, 1000]"), default=0, help="copies in other voices (0)"
    )
    parser.add_argument("--seed", type=SEED, default=1, help="of all that is drawn (1)")
    parser.add_argument("--audio", type=Path, help="folder for the copies, as WAV files")
    parser.add_argument("--out", type=Path, help="data directory to write")
    options = parser.parse_args()
    {"audio": make_audio, "tables": make_tables}[options.what](options)


if __name__ == "__main__":
    run_program(main)
