"""Kaldi data directories whose speakers are clusters.

Kaldi wants utt2spk sorted by utterance and by speaker at once, so an utterance's name begins with
its cluster's: <cluster>-<utterance>, everywhere it occurs. `utt_map` leads back.
Source: Kaldi's `utils/validate_data_dir.sh` and `utils/data/perturb_data_dir_speed.sh`.
"""

import shutil
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.files.atomic import atomic_write
from unspeech.files.names import check_unique
from unspeech.files.text import is_there
from unspeech.kaldi.archives import ArkWriter, iterate_arrays
from unspeech.kaldi.copies import affixes, original_of
from unspeech.kaldi.data_dir import FEATURES, OF_RECORDINGS, OF_SPEAKERS, OF_UTTERANCES, UNCHANGED
from unspeech.kaldi.tables import invert, read_table, write_table

BY_UTTERANCE = ("segments", *FEATURES, *OF_UTTERANCES)
OF_SOME = ("utt2uniq", "vad.scp", "utt2warp")  # that may lack utterances
BY_RECORDING = ("wav.scp", *OF_RECORDINGS)


def new_name(
    utterance: str, clusters: Mapping[str, str], originals: Mapping[str, str]
) -> tuple[str, str] | None:
    """Return an utterance's new name and speaker; None when it has no cluster.

    A copy goes with its original, and has before and after that what it had before: of speaker
    c00001, sp0.9-<utterance> becomes sp0.9-c00001-<utterance> of speaker sp0.9-c00001, as Kaldi's
    and our scripts prefix speakers and utterances.

    Args:
        originals: of `copies.read_originals`.
    """
    original = original_of(utterance, originals)
    around = affixes(utterance, original)
    if utterance == original or original not in clusters or around is None:
        cluster = clusters.get(utterance if utterance == original else original)
        cluster = cluster or clusters.get(utterance)
        return cluster and (f"{cluster}-{utterance}", cluster)
    speaker = around[0] + clusters[original]
    return f"{speaker}-{original}{around[1]}", speaker


def read_data(data: Path, names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Read those of a data directory's tables that exist, {file: {key: value}}."""
    return {
        name: read_table(data / name, empty_values=name == "text")
        for name in names
        if is_there(data / name)
    }


def sum_cmvn(data: Path, new_speakers: Mapping[str, set[str]], out: Path) -> None:
    """Write cmvn.scp and cmvn.ark of the new speakers: sums of the old speakers' statistics.

    That needs every old speaker's utterances to be in one cluster, and none left out, as when
    speakers were unknown and each utterance was one. Otherwise it says what to do.

    Args:
        data: the old data directory, with `cmvn.scp`.
        new_speakers: {old speaker: the new speakers of its utterances; "" for those left out}.
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
            left out, as `utils/fix_data_dir.sh` would do; not all tables have to have all.
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

    audio = recordings.get("wav.scp") if segments else None  # features may be without it
    originals = tables.get("utt2uniq", {})
    renamed = {u: new_name(u, clusters, originals) for u in utterances}
    unclustered = [u for u, new in renamed.items() if new is None]
    kept = {
        u: new
        for u, new in renamed.items()
        if new
        and all(u in table for name, table in tables.items() if name not in OF_SOME)
        and (audio is None or segments[u].split()[0] in audio)
    }
    if not kept:
        raise UnspeechError(f"{data}: none of its utterances is in the clusters")
    strange = sorted({u for name in BY_UTTERANCE for u in tables.get(name, ())} - utterances.keys())
    if strange:
        print(f"Left out, without a line in {data / 'utt2spk'}: {_some(strange)}")
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
        known = {new_of[u]: table[u] for u in kept if u in table}
        if known:
            write_table(out / name, known)
    if segments is not None:
        used = {segments[u].split()[0] for u in kept}
        for name, table in recordings.items():
            write_table(out / name, {r: value for r, value in table.items() if r in used})
    for name in UNCHANGED:
        if (data / name).exists():
            with atomic_write(out / name, "wb") as file, (data / name).open("rb") as old:
                shutil.copyfileobj(old, file)
    for name in OF_SPEAKERS:
        if (data / name).exists():
            print(f"Left out, it belongs to the old speakers: {name}")
    if (data / "cmvn.scp").exists():
        new_speakers: dict[str, set[str]] = {utterances[u]: set() for u in kept}
        for u, old in utterances.items():
            if old in new_speakers:  # one that is left out belongs to none of the new speakers
                new_speakers[old].add(kept[u][1] if u in kept else "")
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
