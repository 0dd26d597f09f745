"""What is heard on the page: whole utterances, parts of them, and audio that cannot be used."""

import io

import numpy as np
import pytest
import soundfile
from helpers.listen import RATE, SECONDS, make_corpus

from unspeech.audio.utterances import AudioError, DataAudio
from unspeech.cli.errors import UnspeechError
from unspeech.kaldi.tables import read_table, write_table

pytest.importorskip("flask", reason="requirements-listen.txt is not installed")


def test_utterances_are_heard_in_part_and_whole(client, folder):
    name = client.members(client.get("api/speakers")["items"][0]["id"])[0]
    status, headers, whole = client.request("GET", f"audio?utterance={name}")
    assert (status, headers["Content-Type"]) == (200, "audio/wav")
    samples, rate = soundfile.read(io.BytesIO(whole))
    assert (rate, len(samples)) == (RATE, int(SECONDS * RATE))
    status, headers, part = client.request("GET", f"audio?utterance={name}", Range="bytes=100-299")
    assert status == 206
    assert headers["Content-Range"] == f"bytes 100-299/{len(whole)}"
    assert part == whole[100:300]
    status, _, part = client.request("GET", f"audio?utterance={name}", Range="bytes=-50")
    assert (status, part) == (206, whole[-50:])
    status, _, _ = client.request("GET", f"audio?utterance={name}", Range="bytes=99999999-")
    assert status == 416


def test_excerpts_are_what_is_read_as_a_whole(folder):
    audio = DataAudio(folder / "data", RATE)
    for name, samples in audio.read():
        excerpt, rate = audio.excerpt(name)
        assert rate == RATE
        np.testing.assert_array_equal(excerpt, samples)
    with pytest.raises(UnspeechError, match="segments: no line for utterance 'nobody'"):
        audio.excerpt("nobody")


def test_audio_that_cannot_be_used_is_named(tmp_path):
    make_corpus(tmp_path)
    gone, damaged, failing, beyond = names = sorted(read_table(tmp_path / "gold"))[:4]
    data = tmp_path / "data"
    wav, segments = read_table(data / "wav.scp"), read_table(data / "segments")
    wav |= {f"r-{gone}": "gone.wav", f"r-{damaged}": "damaged.wav", f"r-{failing}": "false |"}
    segments[beyond] = "together 1000 1001"
    (data / "damaged.wav").write_bytes(b"RIFF of nothing")
    write_table(data / "wav.scp", wav)
    write_table(data / "segments", segments)
    for name in names:
        with pytest.raises(AudioError, match=f"utterance '{name}'"):
            DataAudio(data, RATE).excerpt(name)
