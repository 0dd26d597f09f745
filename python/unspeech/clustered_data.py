"""Make a Kaldi data directory whose speakers are clusters.

    python3 -m unspeech.clustered_data --data data/train --clusters exp/clusters \\
        --out data/train_clustered

Kaldi wants utt2spk sorted by utterance and by speaker at once, so an utterance's name begins with
its cluster's: <cluster>-<utterance>, everywhere it occurs. `utt_map` leads back.
Source: Kaldi's `utils/validate_data_dir.sh` and `utils/data/perturb_data_dir_speed.sh`.
"""

from pathlib import Path

from unspeech.cli.errors import UnspeechError, run_program
from unspeech.cli.options import OptionParser
from unspeech.clustering.clustered_data import make_clustered_data
from unspeech.clustering.directory import read_outliers, settle_outliers
from unspeech.clustering.options import OUTLIER_POLICIES
from unspeech.corrections.corrected import read_corrected
from unspeech.kaldi.tables import write_table


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--data", required=True, type=Path, help="data directory")
    parser.add_argument("--clusters", required=True, type=Path, help="clusters directory")
    parser.add_argument(
        "--outliers",
        choices=OUTLIER_POLICIES,
        default="own",
        help="what becomes of them: as in the clusters, the nearest cluster, or left out",
    )
    parser.add_argument("--out", required=True, type=Path, help="new data directory")
    options = parser.parse_args()
    if options.out.resolve() == options.data.resolve():
        raise UnspeechError(f"{options.out}: the new data directory must not be the old one")
    outliers = {} if options.outliers == "own" else read_outliers(options.clusters)
    corrected = read_corrected(options.clusters, outliers)
    clusters = corrected.utt2spk
    if options.outliers != "own":
        outliers = corrected.outliers
        clusters = settle_outliers(clusters, outliers, options.outliers, options.clusters)
    make_clustered_data(options.data, clusters, options.out)
    present = set(clusters.values())
    names = {s: name for s, name in corrected.names.items() if s in present}
    if names:
        write_table(options.out / "spk2name", names)


if __name__ == "__main__":
    run_program(main)
