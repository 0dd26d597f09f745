"""What clusters are after a listener's corrections: for all programs that read or make clusters.

In: a clusters directory, with `corrections.jsonl` if somebody has listened.
Out: its speakers, outliers and names as they are now, or what a new clustering has to keep.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unspeech.cli.errors import UnspeechError
from unspeech.corrections.actions import NOBODY
from unspeech.corrections.log import NAME, read_log
from unspeech.corrections.speakers import Speakers
from unspeech.kaldi.tables import read_table

UNCORRECTED = "uncorrected"  # what the clustering has found, where `utt2spk` holds corrections
NOWHERE = "-"  # the nearest cluster where there is none


@dataclass(frozen=True)
class Corrected:
    """Clusters after corrections.

    Attributes:
        utt2spk: {utterance: speaker}.
        outliers: {outlier: nearest cluster}; without those that a listener has dealt with.
        nobody: utterances that are of no speaker.
        names: {speaker: what people call it}, as far as anybody has.
        now: {cluster: the speaker that most of its members are of by now}; without clusters of
            nobody, and empty where nobody has corrected anything.
    """

    utt2spk: dict[str, str]
    outliers: dict[str, str]
    nobody: list[str]
    names: dict[str, str]
    now: dict[str, str] = field(default_factory=dict)


def found_by_clustering(directory: Path) -> dict[str, str]:
    """{utterance: cluster} before corrections."""
    before = directory / UNCORRECTED
    return read_table(before if before.exists() else directory / "utt2spk")


def read_speakers(directory: Path, clusters: Mapping[str, str]) -> Speakers:
    """A clustering's speakers after the corrections that stand in its directory.

    Raises:
        UnspeechError: when the corrections are damaged.
    """
    actions, rest = read_log(directory)
    if rest:
        print(f"{directory / NAME}: its last line was cut short and does not count: {rest} bytes")
    return corrected_speakers(directory, clusters, actions)


def corrected_speakers(
    directory: Path, clusters: Mapping[str, str], actions: Iterable[Mapping]
) -> Speakers:
    """The same by actions that were read already."""
    path = directory / NAME
    speakers = Speakers(clusters)
    speakers.replay(actions, path)
    if speakers.left_out:
        print(
            f"{path}: left out, since they do not fit the clusters of today: "
            f"{speakers.left_out} utterances or actions"
        )
    return speakers


def correct(directory: Path, clusters: Mapping[str, str], outliers: Mapping[str, str]) -> Corrected:
    """Apply the corrections that stand in a clusters directory, if any.

    Args:
        clusters: {utterance: cluster}, what the clustering has found.
        outliers: {outlier: nearest cluster}.
    Raises:
        UnspeechError: when the corrections are damaged, or leave no speaker.
    """
    if not (directory / NAME).exists():
        return Corrected(dict(clusters), dict(outliers), [], {})
    speakers = read_speakers(directory, clusters)
    named = kaldi_names(speakers)
    utt2spk, nobody = {}, []
    for utterance, label in zip(speakers.utterances, speakers.labels.tolist(), strict=True):
        if label == NOBODY:
            nobody.append(utterance)
        else:
            utt2spk[utterance] = named[label]
    if not utt2spk:
        raise UnspeechError(f"{directory / NAME}: leaves no utterance a speaker; undo some of it")
    now = _speakers_now(clusters, outliers, utt2spk)
    left = {
        utterance: now.get(nearest, NOWHERE)
        for utterance, nearest in outliers.items()
        if utterance not in speakers.numbers or not speakers.touched[speakers.numbers[utterance]]
    }
    names = {named[label]: name for label, name in speakers.names.items() if label in named}
    return Corrected(utt2spk, left, nobody, names, now)


def _speakers_now(
    clusters: Mapping[str, str], outliers: Mapping[str, str], utt2spk: Mapping[str, str]
) -> dict[str, str]:
    """{cluster: the speaker that most of its members are of by now}; without those of nobody.

    Args:
        clusters: {utterance: cluster} before corrections.
        outliers: {outlier: nearest cluster}; they count where a cluster has nobody else.
        utt2spk: {utterance: speaker} after corrections.
    """
    counts: dict[str, Counter[str]] = {}
    for utterance, cluster in clusters.items():
        if utterance in utt2spk:
            # A member that is no outlier counts more than all outliers.
            weight = 1 if utterance in outliers else len(clusters)
            counts.setdefault(cluster, Counter())[utt2spk[utterance]] += weight
    return {cluster: count.most_common(1)[0][0] for cluster, count in counts.items()}


def kaldi_names(speakers: Speakers) -> dict[int, str]:
    """Names of speakers for Kaldi's tables: their own, in letters, digits, `_` and `.`, or ids.

    All these characters sort after `-`, so that utterances `<speaker>-<utterance>` sort by speaker.
    Letters lose their accents, and others go: `utils/validate_data_dir.sh` takes no others where
    the machine lacks a locale.
    """
    taken = set(speakers.ids)
    named = {}
    for label in sorted(speakers.present(), key=lambda label: speakers.ids[label]):
        name = unicodedata.normalize("NFKD", speakers.names.get(label, ""))
        name = "".join(c for c in name if not unicodedata.combining(c))
        name = re.sub(r"[^\w.]+", "_", name, flags=re.ASCII).strip("_.")
        if name:
            number, plain = 1, name
            while name in taken:
                number += 1
                name = f"{plain}_{number}"
            taken.add(name)
        named[label] = name or speakers.ids[label]
    return named


def read_corrected(directory: Path, outliers: Mapping[str, str]) -> Corrected:
    """A clusters directory's clusters after corrections; see `correct`."""
    return correct(directory, found_by_clustering(directory), outliers)


def read_constraints(
    directory: Path, utterances: Iterable[str]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """What a clustering has to keep of the corrections: pairs of one speaker, and of two.

    Pairs that later corrections have overruled are not among them.

    Returns: numbers of utterances.
    """
    if not (directory / NAME).exists():
        return [], []
    # As if each were its own speaker: whatever the clustering, those are joined that were joined by
    # hand, and no pair counts as overruled but by those.
    speakers = read_speakers(directory, {utterance: utterance for utterance in utterances})
    labels = speakers.labels
    together = [(a, b) for a, b in speakers.same if labels[a] == labels[b] != NOBODY]
    apart = [(a, b) for a, b in speakers.different if labels[a] != labels[b]]
    return together, apart
