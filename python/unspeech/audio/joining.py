"""Short utterances of a speaker joined into longer ones."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unspeech.audio.decoding import wav_bytes
from unspeech.audio.utterances import AudioError, DataAudio
from unspeech.cli.errors import UnspeechError
from unspeech.files.names import file_names
from unspeech.kaldi.data_dir import OF_SPEAKERS, Tables
from unspeech.kaldi.tables import invert

JOIN_RATE = 16000  # Hz of the files that --join-seconds writes


def join_utterances(data: Path, tables: Tables, seconds: float, out: Path, final: Path) -> Tables:
    """Join utterances of each speaker into files of about `seconds`.

    They are joined in an order drawn from their names: in the order of a list that is sorted by
    word, each file would say one word many times.

    Args:
        data: data directory with audio.
        tables: as read from it.
        seconds: an utterance ends once it is as long; a rest shorter than half of that goes to
            the speaker's utterance before it.
        out: directory where `audio/` is written.
        final: the name that `out` will have, for `wav.scp`.
    Returns: tables of the joined utterances, `<speaker>-<number>`.
    """
    if "wav.scp" not in tables:
        raise UnspeechError(f"{data}: joining utterances needs audio, and there is no wav.scp")
    (out / "audio").mkdir()
    audio = DataAudio(data, JOIN_RATE)
    joined: Tables = {"wav.scp": {}, "utt2spk": {}, "utt2dur": {}}
    if "text" in tables:
        joined["text"] = {}
    joined |= {name: tables[name] for name in OF_SPEAKERS if name in tables}
    speakers = invert(tables["utt2spk"])
    files = file_names(speakers, "-000000.wav", data / "utt2spk")
    for speaker, names in speakers.items():
        decoded: dict[str, np.ndarray] = {}
        for name, samples in audio.read(names.split()):
            if isinstance(samples, AudioError):
                raise samples
            decoded[name] = samples
        decoded = {name: decoded[name] for name in sorted(decoded, key=_shuffled)}
        for number, group in enumerate(_groups(decoded, seconds * JOIN_RATE)):
            utterance = f"{speaker}-{number:04d}"
            file = Path("audio", files[speaker].removesuffix("-000000.wav") + f"-{number:04d}.wav")
            samples = np.concatenate([decoded[name] for name in group])
            (out / file).write_bytes(wav_bytes(samples, JOIN_RATE))
            joined["wav.scp"][utterance] = str(final.absolute() / file)
            joined["utt2spk"][utterance] = speaker
            joined["utt2dur"][utterance] = f"{len(samples) / JOIN_RATE:.3f}"
            if "text" in tables:
                words = [tables["text"].get(name, "") for name in group]
                joined["text"][utterance] = " ".join(filter(None, words))
    if audio.clipped:
        print(f"{audio.clipped} recordings have samples beyond ±1, clipped there")
    return joined


def _shuffled(name: str) -> str:
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def _groups(decoded: Mapping[str, np.ndarray], enough: float) -> list[list[str]]:
    groups: list[list[str]] = []
    length = enough
    for name, samples in decoded.items():
        if length >= enough:
            groups.append([])
            length = 0
        groups[-1].append(name)
        length += len(samples)
    if len(groups) > 1 and length < enough / 2:
        groups[-2:] = [groups[-2] + groups[-1]]
    return groups
