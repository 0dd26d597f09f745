"""How much a few minutes of listening put right, by a listener who knows the true speakers.

    PYTHONPATH=python python3 tests/bench/listen.py answers --dir /tmp/listen \\
        --corpora so762=data/so762,exp/emb/so762,exp/clusters/so762 --plot docs/listen_answers.png
    PYTHONPATH=python python3 tests/bench/listen.py size --utterances 1000000

`answers`: starts listen.sh on a copy of the clusters and answers what the page would show, by its
HTTP interface, one answer at a time. After each, the corrected clusters are scored with `utt2spk`
of the data directory. Orders: `worth`, the questions as the page asks them; `random`, the same
questions drawn by chance, the mean of the seeds; `worst`, the members of the speaker with the
lowest mean probability, the least probable first, each compared with the speaker's most typical
utterance; `erring`, as `worth`, but one answer of 20 is wrong. Every run is a line of JSON in
<dir>/results.jsonl and is not repeated.

`size`: makes a corpus of generated vectors and a clusters directory as cluster.sh would leave it,
with one speaker of 50 joined to another, and measures how long the page waits for each of its
requests and how much is sent.

Longer than other files, as both measure the same page with the same requests.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from unspeech.audio.decoding import wav_bytes
from unspeech.clustering.graph import Graph, write_array
from unspeech.clustering.scores import clustering_scores
from unspeech.corrections.corrected import read_corrected
from unspeech.files.atomic import make_directory
from unspeech.files.origins import file_key
from unspeech.kaldi.tables import read_table, write_table

STEPS = Path(__file__).resolve().parents[2] / "steps_unspeech"
COLOURS = {
    "worth": "tab:blue",
    "erring": "tab:purple",
    "random": "tab:orange",
    "worst": "tab:green",
}
ORDERS = tuple(COLOURS)
ERRORS = 0.05  # share of the answers of `erring` that are wrong
SEEDED = ("erring", "random")
SHOWN = (0, 10, 25, 50, 75, 100)  # answers that are columns of the table


class Page:
    """What the page asks the server."""

    def __init__(self, address: str) -> None:
        self.address = address
        _, port, token = re.fullmatch(r"http://(127\.0\.0\.1):(\d+)/(.+)/", address).groups()
        self._port, self._path = int(port), f"/{token}/"
        self.seconds: dict[str, list[float]] = {}
        self.bytes: dict[str, int] = {}

    def ask(self, what: str, path: str, body: dict | None = None) -> bytes:
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=3600)
        if body is None:
            connection.request("GET", self._path + path)
        else:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", self._path + path, json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status == 200, content
        self.seconds.setdefault(what, []).append(time.perf_counter() - began)
        self.bytes[what] = max(self.bytes.get(what, 0), len(content))
        return content

    def get(self, path: str, what: str = "") -> dict:
        return json.loads(self.ask(what or path.partition("?")[0], f"api/{path}"))

    def command(self, **command) -> dict:
        if "revision" not in command:
            command["revision"] = self.get("state")["revision"]
        return json.loads(self.ask(command["action"], "api/command", command))


@contextmanager
def listening(data: Path, embeddings: Path, clusters: Path) -> Iterator[Page]:
    """listen.sh on a corpus."""
    command = [str(STEPS / "listen.sh"), str(data), str(embeddings), str(clusters)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield Page(re.search(r"http://\S+", process.stdout.readline())[0])
    finally:
        process.terminate()
        process.wait()


def answer_questions(
    page: Page, gold: dict[str, str], sample: int | None = None, errs: int | None = None
) -> Iterator[None]:
    """Answer what the page asks.

    Args:
        sample: a seed, of questions drawn by chance; None: those that are worth most.
        errs: a seed, of wrong answers; None: there are none.
    """
    turn, rng = 0, np.random.default_rng(errs)
    while True:
        which = "" if sample is None else f"&sample={sample * 100_000 + turn}"
        found = page.get(f"questions?count=1{which}")
        if not found["items"]:
            return
        question = found["items"][0]
        same = gold[question["a"]["utterance"]] == gold[question["b"]["utterance"]]
        if errs is not None and rng.random() < ERRORS:
            same = not same
        page.command(
            revision=found["revision"],
            action="answer",
            key=question["key"],
            answer="same" if same else "different",
        )
        turn += 1
        yield


def answer_worst(page: Page, gold: dict[str, str]) -> Iterator[None]:
    """Go through the speakers, the least sure first, and through the members of each."""
    done: set[str] = set()
    while True:
        items = page.get("speakers?order=unsure&limit=200")["items"]
        left = [item["id"] for item in items if item["size"] > 1 and item["id"] not in done]
        if not left:
            return
        speaker = left[0]
        done.add(speaker)
        members = page.get(f"utterances?speaker={speaker}&order=unsure&limit=200")["items"]
        typical = page.get(f"typical?speaker={speaker}")["utterance"]
        for name in (item["utterance"] for item in members if item["utterance"] != typical):
            kind = "same" if gold[name] == gold[typical] else "different"
            part = [name] if kind == "different" else None
            page.command(action=kind, a=name, b=typical, part=part, to=None)
            yield


def measure_answers(options: argparse.Namespace, corpus: str, order: str, seed: int) -> dict:
    """One listener's course: the ARI before and after each answer."""
    name, _, places = corpus.partition("=")
    data, embeddings, clusters = (Path(place) for place in places.split(","))
    copy = options.dir / f"{name}-{order}-{seed}"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(clusters, copy, ignore=shutil.ignore_patterns("corrections.jsonl", ".*"))
    gold = read_table(data / "utt2spk")
    utterances = sorted(read_corrected(copy, {}).utt2spk)
    speakers = np.array([gold[utterance] for utterance in utterances])

    def ari() -> float:
        now = read_corrected(copy, {}).utt2spk
        labels = np.array([now.get(u, f"left out: {u}") for u in utterances])
        return clustering_scores(speakers, labels)["ari"]

    scores = [ari()]
    with listening(data, embeddings, copy) as page:
        if order == "worst":
            course = answer_worst(page, gold)
        else:
            sample, errs = (seed if order == name else None for name in ("random", "erring"))
            course = answer_questions(page, gold, sample, errs)
        began = time.time()
        for _ in range(options.answers):
            if next(course, "done") == "done":
                break
            scores.append(ari())
        took = time.time() - began
    shutil.rmtree(copy)
    waits = page.seconds.get("questions", [0])
    return {
        "corpus": name,
        "order": order,
        "seed": seed,
        "ari": [round(score, 4) for score in scores],
        "seconds": round(took, 1),
        "question_ms": [round(1000 * float(np.quantile(waits, q))) for q in (0.5, 0.95, 1)],
        "load": round(os.getloadavg()[0], 1),
    }


def answers(options: argparse.Namespace) -> None:
    make_directory(options.dir)
    results = options.dir / "results.jsonl"
    known = [json.loads(line) for line in results.open()] if results.exists() else []
    for corpus in options.corpora:
        for order in ORDERS:
            for seed in map(int, options.seeds.split(",")) if order in SEEDED else [0]:
                key = corpus.partition("=")[0], order, seed
                if any((k["corpus"], k["order"], k["seed"]) == key for k in known):
                    continue
                known.append(measure_answers(options, corpus, order, seed))
                with results.open("a") as file:
                    file.write(json.dumps(known[-1]) + "\n")
                print(f"{key}: {known[-1]['ari'][-1]}", flush=True)
    names = list(dict.fromkeys(run["corpus"] for run in known))
    courses = {
        (name, order): mean_course(
            [run["ari"] for run in known if (run["corpus"], run["order"]) == (name, order)],
            options.answers,
        )
        for name in names
        for order in ORDERS
    }
    print(f"| corpus | order | {' | '.join(map(str, SHOWN))} | answers to {options.goal} |")
    print("|" + "---|" * (len(SHOWN) + 3))
    for (name, order), course in courses.items():
        shown = [f"{course[number]:.3f}" for number in SHOWN if number < len(course)]
        reached = np.flatnonzero(course >= options.goal)
        print(f"| {name} | {order} | {' | '.join(shown)} | {reached[0] if reached.size else '–'} |")
    if options.plot:
        plot(courses, names, options.goal, options.plot)


def mean_course(runs: list[list[float]], length: int) -> np.ndarray:
    """The mean of several courses; one that has ended stays where it is."""
    filled = [run + run[-1:] * (length + 1 - len(run)) for run in runs]
    return np.mean(filled, axis=0)


def plot(courses: dict, names: list[str], goal: float, file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(names), figsize=(4 * len(names), 3.4), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        for order in ORDERS:
            axis.plot(courses[name, order], label=order, color=COLOURS[order])
        axis.axhline(goal, color="grey", linewidth=0.8, linestyle=":")
        axis.set(title=name, xlabel="answers", ylabel="ARI", ylim=(None, 1.005))
        axis.grid(alpha=0.3)
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def make_large(folder: Path, utterances: int) -> None:
    """A corpus of generated vectors, 60 utterances a speaker on average, and one recording."""
    shutil.rmtree(folder, ignore_errors=True)
    rng = np.random.default_rng(1)
    speakers = utterances // 60
    weights = rng.lognormal(0, 0.6, speakers)
    whose = np.sort(rng.choice(speakers, utterances, p=weights / weights.sum()))
    centres = rng.normal(size=(speakers, 100)).astype(np.float32)
    names = [f"u{i:08d}" for i in rng.permutation(utterances).tolist()]
    order = np.argsort(names)
    make_directory(folder / "data")
    names, whose = [names[i] for i in order.tolist()], whose[order]
    vectors = centres[whose]
    for start in range(0, utterances, 1 << 16):
        block = vectors[start : start + (1 << 16)]
        block += 0.45 * rng.standard_normal(block.shape, np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    scp = write_archive(folder / "emb/embedding.ark", names, vectors)
    write_clusters(folder / "clusters", names, np.where(whose % 50 == 1, whose - 1, whose))
    graph = Graph(folder / "clusters/graph", 1)
    make_directory(graph.folder)
    write_array(graph.folder / "vectors.npy", "<f4", vectors.shape, [vectors])
    by_speaker = np.argsort(whose, kind="stable").astype(np.int32)
    steps = np.arange(1, 11)  # neighbours: the next ones of the speaker, or of the one after it
    near = np.empty((utterances, len(steps)), np.int32)
    near[by_speaker] = by_speaker[(np.arange(utterances)[:, None] + steps) % utterances]
    write_array(graph.folder / "ids.npy", "<i4", near.shape, [near])
    (graph.folder / "utterances").write_text("".join(f"{name}\n" for name in names))
    made_from = {"files": {str(scp): file_key(scp)}}
    (graph.folder / "vectors.json").write_text(json.dumps(made_from))
    (graph.folder / "neighbours.json").write_text("{}")
    sound = 0.1 * rng.standard_normal(16000 * 60)
    (folder / "data/one.wav").write_bytes(wav_bytes(sound.clip(-1, 1), 16000))
    write_table(folder / "data/wav.scp", {"one": folder / "data/one.wav"})
    starts = {name: 3 * (i % 19) for i, name in enumerate(names)}
    write_table(folder / "data/segments", {u: f"one {s} {s + 3}" for u, s in starts.items()})
    write_table(folder / "data/text", {u: f"some words of utterance {u}" for u in names})
    write_table(folder / "data/utt2dur", dict.fromkeys(names, 3.0))
    write_table(folder / "gold", {name: f"s{s}" for name, s in zip(names, whose, strict=True)})


def write_archive(ark: Path, names: list[str], vectors: np.ndarray) -> Path:
    """An archive of float vectors all of one dimension, written at once; returns its scp."""
    make_directory(ark.parent)
    heads = [f"{name} ".encode() for name in names]
    binary = b"\0BFV \4" + np.int32(vectors.shape[1]).tobytes()
    offset, lines = 0, []
    with ark.open("wb") as file:
        for head, vector in zip(heads, vectors, strict=True):
            file.write(head + binary + vector.tobytes())
            lines.append(f"{head.decode()}{ark}:{offset + len(head)}\n")
            offset += len(head) + len(binary) + vector.nbytes
    scp = ark.with_suffix(".scp")
    scp.write_text("".join(lines))
    return scp


def write_clusters(clusters: Path, names: list[str], labels: np.ndarray) -> None:
    """The tables of a clusters directory."""
    rng = np.random.default_rng(1)
    utt2spk = {name: f"c{label:05d}" for name, label in zip(names, labels.tolist(), strict=True)}
    write_table(clusters / "utt2spk", utt2spk)
    chances = rng.beta(8, 1, len(names)).tolist()
    chances = {name: f"{chance:.4f}" for name, chance in zip(names, chances, strict=True)}
    write_table(clusters / "probabilities", chances)
    (clusters / "outliers").write_text("")
    (clusters / "clusters.json").write_text(json.dumps({"utterances": len(names)}))


def size(options: argparse.Namespace) -> None:
    folder = options.dir / f"made{options.utterances}"
    if not (folder / "gold").exists():
        make_large(folder, options.utterances)
    clusters, gold = folder / "clusters", read_table(folder / "gold")
    (clusters / "corrections.jsonl").unlink(missing_ok=True)
    began = time.time()
    with listening(folder / "data", folder / "emb", clusters) as page:
        print(f"the address was printed after {time.time() - began:.1f} s", flush=True)
        print(f"| request | times | median ms | longest ms | KB |\n|{'---|' * 5}", flush=True)
        for use in (use_lists, use_questions, use_map):
            page.seconds.clear()
            use(page, gold)
            for what, waits in page.seconds.items():
                middle, longest = 1000 * np.median(waits), 1000 * max(waits)
                size = page.bytes[what] / 1000
                print(f"| {what} | {len(waits)} | {middle:.0f} | {longest:.0f} | {size:.1f} |")
            print(f"load {os.getloadavg()[0]:.1f}", flush=True)


def use_lists(page: Page, gold: dict[str, str]) -> None:
    """Go through the lists, hear some of it, and correct it."""
    page.ask("page", "")
    rng = np.random.default_rng(1)
    total = page.get("speakers?limit=100", "first list of speakers")["total"]
    for _ in range(20):
        offset = int(rng.integers(total - 100))
        items = page.get(f"speakers?limit=100&offset={offset}")["items"]
        page.get(f"utterances?speaker={items[0]['id']}&limit=100")
    for order in ("unsure", "name"):
        page.get(f"speakers?limit=100&order={order}", "speakers in another order")
    for query in ("u0000123", "utterance u0099"):
        page.get(f"search?limit=100&query={query.replace(' ', '%20')}")
    for name in rng.choice(list(gold), 20).tolist():
        page.ask("audio", f"audio?utterance={name}")
    page.command(action="name", speaker=items[0]["id"], name="Ada")
    page.command(action="merge", speakers=[items[1]["id"], items[2]["id"]])
    page.command(action="split", speaker=items[3]["id"], parts=2)
    page.command(action="undo")


def use_questions(page: Page, gold: dict[str, str]) -> None:
    """Answer 21 questions."""
    course = answer_questions(page, gold)
    next(course)
    for kept in (page.seconds, page.bytes):
        kept["first question"] = kept.pop("questions")
    for _ in range(20):
        next(course)


def use_map(page: Page, gold: dict[str, str]) -> None:
    """Zoom in on the map, and draw a lasso."""
    rng = np.random.default_rng(1)
    while not page.get("state")["map"]:
        time.sleep(2)
    for half in (0.5, 0.1, 0.01):
        x, y = rng.uniform(half, 1 - half, 2)
        window = f"left={x - half}&right={x + half}&top={y - half}&bottom={y + half}"
        page.ask("map", f"api/map?most=8000&{window}")
    corner = [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]]
    page.ask("lasso", "api/lasso", {"polygon": corner})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["answers", "size"])
    parser.add_argument("--dir", type=Path, default=Path("/tmp/listen"))
    parser.add_argument(
        "--corpora", nargs="+", default=[], help="NAME=DATA,EMBEDDINGS,CLUSTERS of each"
    )
    parser.add_argument("--answers", type=int, default=100)
    parser.add_argument("--goal", type=float, default=0.98)
    parser.add_argument("--seeds", default="1,2,3", help="of random questions and errors")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--utterances", type=int, default=1_000_000)
    options = parser.parse_args()
    answers(options) if options.what == "answers" else size(options)


if __name__ == "__main__":
    main()
