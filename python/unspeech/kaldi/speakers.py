"""Utterances split among jobs so that each speaker's are in one job."""

from collections.abc import Mapping


def split_speakers(utt2spk: Mapping[str, str], utts_per_spk_max: int) -> dict[str, list[str]]:
    """Group the utterances by speaker, and cut speakers into pieces that count as speakers.

    Args:
        utt2spk: {utterance: speaker}; its order is that of the utterances of a speaker.
        utts_per_spk_max: of a piece; -1 for whole speakers.
    Returns:
        {speaker: utterances}; a piece is called `<speaker>-<number>`.
    Source: Kaldi's `utils/data/modify_speaker_info.sh`.
    """
    whole: dict[str, list[str]] = {}
    for utterance, speaker in utt2spk.items():
        whole.setdefault(speaker, []).append(utterance)
    if utts_per_spk_max == -1:
        return whole
    pieces = {}
    for speaker in sorted(whole, key=str.encode):
        own = whole[speaker]
        firsts = range(0, len(own), utts_per_spk_max)
        digits = len(str(len(firsts)))
        for number, first in enumerate(firsts, start=1):
            pieces[f"{speaker}-{number:0{digits}}"] = own[first : first + utts_per_spk_max]
    return pieces
