"""Make a Kaldi data directory whose speakers are clusters.

    python3 -m unspeech.clustered_data --data data/train --clusters exp/clusters/utt2spk \\
        --out data/train_clustered

Kaldi wants utt2spk sorted by utterance and by speaker at once, so an utterance's name begins with
its cluster's: <cluster>-<utterance>, everywhere it occurs. `utt_map` leads back.
Source: Kaldi's `utils/validate_data_dir.sh` and `utils/data/perturb_data_dir_speed.sh`.
"""

import re
import shutil
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from unspeech.archives import ArkWriter, iterate_arrays
from unspeech.cluster_files import OUTLIER, nearest_cluster
from unspeech.errors import UnspeechError, run_program
from unspeech.names import check_unique
from unspeech.options import OptionParser
from unspeech.tables import atomic_write, invert, read_table, write_table
from unspeech.vectors import load_embeddings

BY_UTTERANCE = (
    "feats.scp", "vad.scp", "text", "segments", "utt2dur", "utt2num_frames", "utt2lang",
    "utt2uniq", "utt2warp",
)  # fmt: skip
BY_RECORDING = ("wav.scp", "reco2dur", "reco2file_and_channel")  # by utterance without `segments`
BY_SPEAKER = ("spk2gender", "spk2warp")  # of the old speakers
UNCHANGED = ("frame_shift", "stm", "glm", "ctm")
SPEED_PERTURBED = re.compile(r"(sp\d+\.\d+-)(.+)")


def nearest_clusters(clusters: Mapping[str, str], sizes: Counter, path: str) -> dict[str, str]:
    """Give each outlier the nearest cluster.

    Args:
        clusters: {utterance: cluster}.
        sizes: {cluster: utterances}.
        path: the vectors that were clustered.
    Raises:
        UnspeechError: when the vectors are not of the utterances that were clustered.
    """
    utterances, vectors = load_embeddings(path)
    if set(utterances) != set(clusters):
        one = min(set(utterances) ^ set(clusters))
        raise UnspeechError(
            f"{path}: utterance '{one}' is not in both this and the clusters; give the embeddings "
            "that were clustered"
        )
    names = sorted(name for name, size in sizes.items() if size > 1)
    number = {name: n for n, name in enumerate(names)}
    labels = np.array([number.get(clusters[u], OUTLIER) for u in utterances])
    settled = nearest_cluster(vectors, labels)
    return {u: names[label] for u, label in zip(utterances, settled, strict=True)}


def settle_outliers(
    clusters: dict[str, str], fate: str, embeddings: str | None, source: str
) -> dict[str, str]:
    """Give outliers, which are clusters of one utterance, what the user wants for them.

    Args:
        clusters: {utterance: cluster}.
        fate: "own" leaves each a speaker of its own, "nearest" gives it the nearest cluster,
            "leave-out" drops it.
        embeddings: the vectors that were clustered, for "nearest".
        source: where the clusters come from, for error messages.
    Raises:
        UnspeechError: when nothing would be left.
    """
    if fate == "own":
        return clusters
    sizes = Counter(clusters.values())
    inliers = {u: cluster for u, cluster in clusters.items() if sizes[cluster] > 1}
    if not inliers:
        raise UnspeechError(f"{source}: every utterance is an outlier; use --outliers own")
    if fate == "leave-out":
        return inliers
    if embeddings is None:
        raise UnspeechError("--outliers nearest needs --embeddings: the vectors of the clustering")
    return nearest_clusters(clusters, sizes, embeddings)


def new_name(utterance: str, clusters: Mapping[str, str]) -> tuple[str, str] | None:
    """Return an utterance's new name and speaker; None when it has no cluster.

    A speed-perturbed copy goes with its original, prefixed as Kaldi prefixes speakers and
    utterances: sp0.9-<cluster>-<utterance> of speaker sp0.9-<cluster>.
    """
    copy = SPEED_PERTURBED.fullmatch(utterance)
    prefix, original = copy.groups() if copy and copy[2] in clusters else ("", utterance)
    if original not in clusters:
        return None
    speaker = prefix + clusters[original]
    return f"{speaker}-{original}", speaker


def read_text(path: Path) -> dict[str, str]:
    """Read transcripts; unlike in other tables they may be empty."""
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {key: "".join(value) for key, *value in lines}


def read_data(data: Path, names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Read those of a data directory's tables that exist, {file: {key: value}}."""
    return {
        name: (read_text if name == "text" else read_table)(data / name)
        for name in names
        if (data / name).exists()
    }


def sum_cmvn(data: Path, new_speakers: Mapping[str, set[str]], out: Path) -> None:
    """Write cmvn.scp and cmvn.ark of the new speakers: sums of the old speakers' statistics.

    That needs every old speaker's utterances to be in one cluster, as they are when speakers were
    unknown and each utterance was one. Otherwise it says what to do.

    Args:
        data: the old data directory, with `cmvn.scp`.
        new_speakers: {old speaker: the new speakers of its utterances}.
        out: the new one.
    """
    if any(len(new) > 1 for new in new_speakers.values()) or not (
        new_speakers.keys() <= read_table(data / "cmvn.scp").keys()
    ):
        print("Left out, its speakers are split: cmvn.scp; run steps/compute_cmvn_stats.sh")
        return
    sums: dict[str, np.ndarray] = {}
    for old, statistics in iterate_arrays(data / "cmvn.scp"):
        for new in new_speakers.get(old, ()):
            sums[new] = sums.get(new, 0) + statistics
    with ArkWriter(out / "cmvn.ark", out / "cmvn.scp") as writer:
        for new in sorted(sums, key=str.encode):
            writer.write(new, sums[new])


def make_clustered_data(data: Path, clusters: Mapping[str, str], out: Path) -> None:
    """Write the new data directory, `spk2utt` last; say what it lacks of the old one.

    Args:
        data: the old one. Utterances that lack a cluster or a line in one of its tables are
            left out, as `utils/fix_data_dir.sh` would do.
        clusters: {utterance: cluster}.
        out: the new one.
    Raises:
        UnspeechError: when no utterance is left, two would get one name, or the clusters' names
            cannot be sorted.
    """
    utterances = read_table(data / "utt2spk")
    tables = read_data(data, BY_UTTERANCE)
    recordings = read_data(data, BY_RECORDING)
    segments = tables.get("segments")
    if segments is None:
        tables.update(recordings)
    elif "wav.scp" not in recordings:
        raise UnspeechError(f"{data}: has segments, but no wav.scp")

    renamed = {u: new_name(u, clusters) for u in utterances}
    unclustered = [u for u, new in renamed.items() if new is None]
    kept = {
        u: new
        for u, new in renamed.items()
        if new
        and all(u in table for table in tables.values())
        and (segments is None or segments[u].split()[0] in recordings["wav.scp"])
    }
    if not kept:
        raise UnspeechError(f"{data}: none of its utterances is in the clusters")
    if unclustered:
        print(f"Left out, without a cluster: {_some(unclustered)}")
    incomplete = [u for u, new in renamed.items() if new and u not in kept]
    if incomplete:
        print(f"Left out, not in every file of {data}: {_some(incomplete)}")
    check_unique(((u, new) for u, (new, _) in kept.items()), "utterance", data / "utt2spk")
    utt2spk = dict(kept.values())
    check_order(utt2spk)

    new_of = {u: new for u, (new, _) in kept.items()}
    for name, table in tables.items():
        if name == "utt2uniq":  # its values are utterances, too
            table = {u: new_of.get(value, value) for u, value in table.items()}
        write_table(out / name, {new_of[u]: table[u] for u in kept})
    if segments is not None:
        used = {segments[u].split()[0] for u in kept}
        for name, table in recordings.items():
            write_table(out / name, {r: value for r, value in table.items() if r in used})
    for name in UNCHANGED:
        if (data / name).exists():
            with atomic_write(out / name, "wb") as file, (data / name).open("rb") as old:
                shutil.copyfileobj(old, file)
    for name in BY_SPEAKER:
        if (data / name).exists():
            print(f"Left out, it belongs to the old speakers: {name}")
    if (data / "cmvn.scp").exists():
        new_speakers: dict[str, set[str]] = {}
        for u, (_, speaker) in kept.items():
            new_speakers.setdefault(utterances[u], set()).add(speaker)
        sum_cmvn(data, new_speakers, out)
    write_table(out / "utt_map", {new: u for u, new in new_of.items()})
    write_table(out / "utt2spk", utt2spk)
    write_table(out / "spk2utt", invert(utt2spk))
    print(f"{out}: {len(utt2spk)} utterances of {len(set(utt2spk.values()))} speakers")


def check_order(utt2spk: Mapping[str, str]) -> None:
    """Raise UnspeechError unless utt2spk is sorted by speaker once it is by utterance."""
    speakers = [utt2spk[u] for u in sorted(utt2spk, key=str.encode)]
    for first, second in pairwise(speakers):
        if first.encode() > second.encode():
            raise UnspeechError(
                f"Kaldi cannot sort utterances of clusters '{first}' and '{second}' by speaker and "
                "by utterance at once; give the clusters names of letters and digits"
            )


def _some(utterances: list[str]) -> str:
    return f"{len(utterances)} utterances, such as '{utterances[0]}'"


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--data", required=True, type=Path, help="data directory")
    parser.add_argument("--clusters", required=True, help="the clusters' utt2spk")
    parser.add_argument("--outliers", choices=["own", "nearest", "leave-out"], default="own")
    parser.add_argument("--embeddings", help="the vectors that were clustered")
    parser.add_argument("--out", required=True, type=Path, help="new data directory")
    options = parser.parse_args()
    if options.out.resolve() == options.data.resolve():
        raise UnspeechError(f"{options.out}: the new data directory must not be the old one")
    clusters = read_table(options.clusters)
    clusters = settle_outliers(clusters, options.outliers, options.embeddings, options.clusters)
    make_clustered_data(options.data, clusters, options.out)


if __name__ == "__main__":
    run_program(main)
