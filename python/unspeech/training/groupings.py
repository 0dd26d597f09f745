"""Which utterances share a recording, a speaker or a context, and which are held out."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.kaldi.alignments import Unit, read_ctm
from unspeech.kaldi.copies import contexts_of
from unspeech.kaldi.corpus import Corpus
from unspeech.kaldi.tables import read_table, utt2spk_of
from unspeech.network.config import Config


def units_of(
    corpus: Corpus, alignments: Mapping[str, list[Unit]], source: str | Path
) -> list[list[Unit]]:
    """The units of each utterance that its frames cover; empty where there is no alignment.

    Raises:
        UnspeechError: when no utterance has an alignment.
    """
    lengths = corpus.lengths
    units = [
        [unit for unit in alignments.get(name, []) if unit.start < unit.end <= lengths[i]]
        for i, name in enumerate(corpus.utterances)
    ]
    if not any(units):
        raise UnspeechError(
            f"{source}: no unit of any utterance, such as '{corpus.utterances[0]}'; "
            "its utterance names must be those of the features"
        )
    return units


def groups_of(utterances: list[str], data: str | Path, config: Config) -> list[str] | None:
    """What each utterance shares its context with, by `context_sampling`; None for adjacent.

    With speakers, an utterance that `pseudo_utt2spk` does not name has none: "".
    """
    if config.context_sampling == "adjacent":
        return None
    if config.context_sampling == "recording":
        return contexts_of(utterances, data)
    speakers = read_table(config.pseudo_utt2spk)
    if not any(u in speakers for u in utterances):
        raise UnspeechError(
            f"{config.pseudo_utt2spk}: names none of the utterances, such as '{utterances[0]}'; "
            "its names must be those of the features"
        )
    return [speakers.get(u, "") for u in utterances]


def speakers_of_spk2utt(utterances: list[str], path: str) -> list[str]:
    """The speaker of each utterance, from a file of `<speaker> <utterance> …` lines.

    Raises:
        UnspeechError: naming the first utterance that the file lacks.
    """
    speakers = utt2spk_of(read_table(path))
    for utterance in utterances:
        if utterance not in speakers:
            raise UnspeechError(f"{path}: no speaker has utterance '{utterance}'; add it")
    return [speakers[utterance] for utterance in utterances]


def groupings_of(
    corpus: Corpus, data: str | Path, config: Config
) -> tuple[list[str] | None, list[list[Unit]] | None, list[str] | None]:
    """Speakers, units and groups of each utterance, as `ContextSampler` takes them."""
    return (
        speakers_of_spk2utt(corpus.utterances, config.spk2utt) if config.spk2utt else None,
        units_of(corpus, read_ctm(config.ali_ctm), config.ali_ctm) if config.ali_ctm else None,
        groups_of(corpus.utterances, data, config),
    )


def usable_utterances(
    corpus: Corpus,
    config: Config,
    speakers: list[str] | None = None,
    units: list[list[Unit]] | None = None,
    groups: list[str] | None = None,
) -> np.ndarray:
    """Which utterances hold a target with its contexts, and belong to a frequent speaker.

    Returns: (utterances,) bool.
    """
    if units is None:
        usable = corpus.lengths >= config.span
    else:
        row = config.left_contexts + 1 + config.right_contexts
        usable = np.array([len(own) >= row for own in units])
    if groups is not None:
        usable &= np.array([group != "" for group in groups])
    if speakers is not None:
        names, which, counts = np.unique(
            np.where(usable, speakers, ""), return_inverse=True, return_counts=True
        )
        usable &= (names != "")[which] & (counts >= config.minimum_speaker_length)[which]
    return usable


def split_heldout(
    usable: np.ndarray,
    recordings: list[str],
    config: Config,
    speakers: list[str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the utterances to train on and those to choose the best model with.

    Args:
        usable: (utterances,) bool.
        recordings: the recording of each utterance; no recording is on both sides.
        config: settings; `heldout_fraction` of the recordings are held out, at least two.
        speakers: the speaker of each utterance, or None: with them, recordings of two utterances of
            a speaker are held out together, as negative pairs join two of one speaker.
    Returns:
        (train, heldout): indices of usable utterances. With fewer than four recordings they are
        the same: as in the original, the best model is then the best on its training speech.
    Raises:
        UnspeechError: when no utterance is usable.
    """
    indices = np.flatnonzero(usable)
    names = sorted({recordings[i] for i in indices}, key=str.encode)
    if not names:
        length = "a row of aligned units" if config.ali_ctm else f"{config.span} frames"
        raise UnspeechError(
            f"none of {len(set(recordings))} recordings has a usable utterance: one "
            f"of {length}, for the target window and its contexts, and with spk2utt one of a "
            f"speaker with {config.minimum_speaker_length}: use more speech, or lower "
            "window_length, left_contexts or right_contexts"
        )
    if len(names) < 4:
        return indices, indices
    count = min(max(2, round(config.heldout_fraction * len(names))), len(names) - 2)
    rng = np.random.default_rng(config.seed)
    if speakers is None:
        heldout_names = {names[i] for i in rng.choice(len(names), count, replace=False)}
    else:
        heldout_names = _in_twos(indices, recordings, speakers, count, rng)
    is_heldout = np.array([recordings[i] in heldout_names for i in indices])
    return indices[~is_heldout], indices[is_heldout]


def _in_twos(
    indices: np.ndarray,
    recordings: list[str],
    speakers: list[str],
    count: int,
    rng: np.random.Generator,
) -> set[str]:
    """Draw about `count` recordings, those of two utterances of one speaker after the other."""
    own: dict[str, list[str]] = {}
    for i in indices:
        own.setdefault(speakers[i], []).append(recordings[i])
    drawn: set[str] = set()
    # Whoever has four leaves two to train on.
    for speaker in sorted(rng.permutation(sorted(own)), key=lambda name: len(own[name]) < 4):
        if len(drawn) >= count:
            break
        drawn.update(rng.permutation(own[speaker])[:2].tolist())
    return drawn
