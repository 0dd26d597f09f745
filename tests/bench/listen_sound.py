"""How long one waits for the first sound, in a real browser: from a key or a click to `playing`.

    PYTHONPATH=python python3 tests/bench/listen_sound.py --times 30 --seed 1 \\
        --corpus data/emodb,exp/emb/emodb,exp/clusters/emodb

The same utterances are heard from data directories that differ in their wav.scp: `as it is`, the
one that is given; `pipes`, each utterance out of `flac -c -d -s FILE |`; `segments` of recordings
of so many minutes (--minutes), which are files, and `segments of pipes`, of the same as pipes.
Utterances are drawn by the seed, and none is heard twice. Of a page that is just open, one is heard
before.

`key`: from Space on a row of the list of utterances; `click`: from a click on its button; `answer`:
from Y or N in Questions until the next question is heard, which plays by itself. Times are those of
the events in the browser (`timeStamp`): of the key or of the button going down, and of the audio
element's `playing`. Chromium runs without a window and without a sound card.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from listen import listening

from unspeech.audio.utterances import DataAudio
from unspeech.kaldi.tables import read_table, write_table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers.browser import Browser

RATE = 16000  # Hz, of the recordings that are made
WATCH = """(() => {
  window.waits = [];
  let since = null;
  const begin = (event) => { since = event.timeStamp; };
  addEventListener("keydown", begin, true);
  addEventListener("mousedown", begin, true);
  document.getElementById("audio").addEventListener("playing", (event) => {
    if (since !== null) window.waits.push(event.timeStamp - since);
    since = null;
  });
})()"""
AUDIO = "document.getElementById('audio')"


def make_data(folder: Path, data: Path, minutes: float) -> dict[str, Path]:
    """Data directories of the same utterances, whose audio comes in other ways."""
    source = DataAudio(data, RATE)
    names = list(read_table(data / "utt2spk"))
    kinds = {"as it is": data}
    for kind in ("pipes", "segments", "segments of pipes"):
        kinds[kind] = folder / kind.replace(" ", "-")
        kinds[kind].mkdir(parents=True)
    pipes, recordings, segments, now, length = {}, {}, {}, [], 0
    (folder / "flac").mkdir()

    def write(name: str, samples: np.ndarray) -> Path:
        path = folder / "flac" / f"{name}.flac"
        soundfile.write(path, samples, RATE)
        return path

    for name, samples in source.read(names):
        pipes[name] = f"flac -c -d -s {write(name, samples)} |"
        recording = f"rec{len(recordings):04d}"
        begin, length = length, length + len(samples)
        segments[name] = f"{recording} {begin / RATE:.4f} {length / RATE:.4f}"
        now.append(samples)
        if length > 60 * minutes * RATE or name == names[-1]:
            recordings[recording] = write(recording, np.concatenate(now))
            now, length = [], 0
    write_table(kinds["pipes"] / "wav.scp", pipes)
    write_table(kinds["segments"] / "wav.scp", recordings)
    piped = {name: f"flac -c -d -s {path} |" for name, path in recordings.items()}
    write_table(kinds["segments of pipes"] / "wav.scp", piped)
    for kind in ("segments", "segments of pipes"):
        write_table(kinds[kind] / "segments", segments)
    return kinds


def heard(browser: Browser, number: int) -> None:
    """Wait for the sound after a key or a click, and stop it."""
    browser.wait(f"waits.length === {number}")
    browser.value(f"{AUDIO}.pause()")


def open_page(browser: Browser, address: str, view: str) -> None:
    browser.open("about:blank")
    browser.open(f"{address}#{view}")
    browser.wait("/corrections/.test(document.getElementById('counts').textContent)")
    browser.value(WATCH)


def listen_to_rows(browser: Browser, address: str, names: list[str], how: str) -> list[float]:
    """Waits for utterances of the list that is found by their names."""
    open_page(browser, address, "speakers")
    for number, name in enumerate(names, start=1):
        browser.type("#find", name)
        for place in ("#found-title", "#utterance-list .item"):
            browser.wait(f"document.querySelector('{place}')?.textContent.includes('{name}')")
        browser.value("document.getElementById('utterance-list').focus()")
        if how == "key":
            browser.press(" ")
        else:
            browser.click("#utterance-list .item .play")
        heard(browser, number)
    return browser.value("waits")


def answer(browser: Browser, address: str, times: int, gold: dict[str, str]) -> list[float]:
    """Waits for the next question, as the listener answers by the true speakers."""
    open_page(browser, address, "questions")
    for number in range(1, times + 1):
        browser.wait("document.querySelector('#question:not([hidden]):not(.done)') !== null")
        said = [browser.text(f"#voice-{which} .id") for which in "ab"]
        time.sleep(0.5)  # while it is heard, the page fetches what is likely to be heard next
        browser.value(f"{AUDIO}.pause()")
        browser.press("y" if gold[said[0]] == gold[said[1]] else "n")
        heard(browser, number)
    return browser.value("waits")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", required=True, help="DATA,EMBEDDINGS,CLUSTERS")
    parser.add_argument("--times", type=int, default=30, help="each utterance is another one")
    parser.add_argument("--minutes", type=float, default=10, help="length of a recording")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    data, embeddings, clusters = map(Path, options.corpus.split(","))
    gold = read_table(data / "utt2spk")
    rng = np.random.default_rng(options.seed)
    print(f"| audio | from | times | median ms | 95 % ms | longest ms |\n|{'---|' * 6}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy = folder / "clusters"
        for kind, place in make_data(folder, data, options.minutes).items():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(
                clusters, copy, ignore=shutil.ignore_patterns("corrections.jsonl", ".*")
            )
            drawn = rng.choice(list(gold), 2 * options.times + 2, replace=False).tolist()
            profile = folder / f"profile-{place.name}"
            with listening(place, embeddings, copy) as page, Browser(profile) as browser:
                for how, names in (("key", drawn[::2]), ("click", drawn[1::2])):
                    waits = listen_to_rows(browser, page.address, names, how)
                    show(kind, how, waits[1:])
                show(kind, "answer", answer(browser, page.address, options.times + 1, gold)[1:])
                assert not browser.errors, browser.errors
    print(f"load {os.getloadavg()[0]:.1f}")


def show(kind: str, how: str, waits: list[float]) -> None:
    middle, most, longest = np.quantile(waits, (0.5, 0.95, 1))
    figures = f"{middle:.0f} | {most:.0f} | {longest:.0f}"
    print(f"| {kind} | {how} | {len(waits)} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
