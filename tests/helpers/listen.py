"""What tests of listening share: a corpus with audio, its vectors and their clusters."""

import http.client
import json
import re
import subprocess
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from helpers.data import write_ark
from helpers.programs import call
from helpers.shell import STEPS
from unspeech.audio.decoding import wav_bytes
from unspeech.corrections.log import Log
from unspeech.kaldi.tables import invert, write_table

RATE = 8000
SECONDS = 0.5


def make_corpus(folder: Path, speakers: int = 6, utterances: int = 10, seed: int = 0) -> Path:
    """Vectors of made-up speakers, of which pairs stand close to each other, their clusters, and
    a data directory of tones, with `text` and some utterances cut from one recording."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(speakers, 24))
    centres[1::2] = centres[::2] + 0.3 * rng.normal(size=centres[::2].shape)
    vectors, gold = {}, {}
    for s in range(speakers):
        for u in range(utterances):
            name = f"u{u:03d}-{(7 * s) % 31:02d}"  # the name does not say who
            vectors[name] = centres[s] + 0.25 * rng.normal(size=24)
            gold[name] = f"s{s}"
    write_ark(folder / "emb/embedding.ark", dict(sorted(vectors.items())))
    write_audio(folder / "data", gold)
    write_table(folder / "gold", gold)
    call("cluster", "--embeddings", folder / "emb", "--out", folder / "clusters")
    return folder


def write_audio(data: Path, gold: dict[str, str]) -> None:
    """A tone an utterance, its pitch that of the speaker; the last ones share a recording."""
    audio = data / "audio"
    audio.mkdir(parents=True)
    wav, segments, recording = {}, {}, []
    for number, (name, speaker) in enumerate(sorted(gold.items())):
        time = np.arange(int(SECONDS * RATE)) / RATE
        tone = 0.3 * np.sin(2 * np.pi * (200 + 40 * int(speaker[1:])) * time)
        if number < len(gold) - 5:
            (audio / f"{name}.wav").write_bytes(wav_bytes(tone, RATE))
            entry = f"audio/{name}.wav"
            wav[f"r-{name}"] = f"cat {audio / name}.wav |" if number % 2 else entry
            segments[name] = f"r-{name} 0 -1"
        else:
            begin = SECONDS * len(recording)
            segments[name] = f"together {begin:g} {begin + SECONDS:g}"
            recording.append(tone)
    (audio / "together.wav").write_bytes(wav_bytes(np.concatenate(recording), RATE))
    wav["together"] = str(audio / "together.wav")
    write_table(data / "wav.scp", wav)
    write_table(data / "segments", segments)
    write_table(data / "text", {name: f"words & <more> of {name}" for name in gold})
    write_table(data / "utt2dur", dict.fromkeys(gold, SECONDS))
    write_table(data / "utt2spk", {name: name for name in gold})
    write_table(data / "spk2utt", invert({name: name for name in gold}))


def correct(clusters: Path, *actions: dict) -> None:
    """Append actions to a clusters directory's corrections."""
    log = Log(clusters)
    log.read_new()
    for action in actions:
        log.append(action, log.revision)


class Client:
    """Requests to a server that was started by its step."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token

    def request(self, method: str, path: str, body=None, **headers):
        """The status, the headers and the body of an answer; `path` comes after the token."""
        return self.raw(method, f"/{self.token}/{path}", body, **headers)

    def raw(self, method: str, path: str, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict | list):
            headers.setdefault("Content-Type", "application/json")
            body = json.dumps(body)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.headers), content

    def get(self, path: str) -> dict:
        status, _, content = self.request("GET", path)
        assert status == 200, content
        return json.loads(content)

    def command(self, **command) -> dict:
        command.setdefault("revision", self.get("api/state")["revision"])
        status, _, content = self.request("POST", "api/command", command)
        assert status == 200, content
        return json.loads(content)

    def members(self, speaker: str) -> list[str]:
        items = self.get(f"api/utterances?speaker={speaker}&limit=200")["items"]
        return [item["utterance"] for item in items]


@contextmanager
def serving(folder: Path):
    """Start listen.sh on a corpus of `make_corpus`; yields a client, and the process."""
    command = [str(STEPS / "listen.sh"), "data", "emb", "clusters"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:(\d+)/([\w-]+)/", line)
        assert address, line
        yield Client(int(address[1]), address[2]), process
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
