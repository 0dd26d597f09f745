"""How long clustering takes, how much memory, and how near it comes to the truth.

    PYTHONPATH=python python3 tests/bench/cluster.py scale --sizes 10000,100000,1000000 --plot a.png
    PYTHONPATH=python python3 tests/bench/cluster.py beside --size 20000 [--overlap 0.1]
    PYTHONPATH=python python3 tests/bench/cluster.py beside --embeddings DIR --utt2spk GOLD
    PYTHONPATH=python python3 tests/bench/cluster.py assign --size 20000
    PYTHONPATH=python python3 tests/bench/cluster.py libraries --size 100000

`scale` clusters generated vectors of several sizes. `beside` compares with other packages,
`libraries` libraries of nearest neighbours, where they are installed: pip install fast_hdbscan
evoc faiss-cpu pynndescent usearch hnswlib. `assign` lets one half join the clusters of the other.
Every figure is a line of JSON; every run is a process of its own.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from generated import copies, generate, speakers, utterances_of, write
from other_packages import apart, installed, other_package, search_library

from unspeech.clustering.scores import clustering_scores
from unspeech.kaldi.tables import read_table


def cluster(folder: Path, gold: np.ndarray, *options: str) -> dict:
    """Run the program on an embedding directory: seconds and memory (MB) of each phase, scores."""
    out = folder / "clusters"
    started, before = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    log = program("cluster", "--embeddings", folder, "--out", out, *options)
    result = {"seconds": round(time.time() - started, 1)}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    result["processor_seconds"] = round(processor, 1)
    lines = re.findall(r"^(\w+): ([\d.]+) s, (\d+) MB$", log, re.MULTILINE)
    phases = {name: [float(seconds), int(memory)] for name, seconds, memory in lines}
    result["megabytes"] = max(memory for _, memory in phases.values())
    names = list(read_table(out / "utt2spk").values())
    return result | scored(gold, np.unique(names, return_inverse=True)[1]) | {"phases": phases}


def program(name: str, *options) -> str:
    """Run a program of the library; returns what it prints."""
    command = [sys.executable, "-m", f"unspeech.{name}", *map(str, options)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def scored(gold: np.ndarray, labels: np.ndarray) -> dict:
    alone = labels < 0
    labels = np.where(alone, len(labels) + np.arange(len(labels)), labels)
    scores = clustering_scores(gold, labels, int(alone.sum()))
    return {name: round(scores[name], 5) for name in ("ari", "nmi")}


def show(**figures) -> dict:
    print(json.dumps(figures), flush=True)
    return figures


def run_scale(options: argparse.Namespace) -> None:
    results = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.dir) as folder:
            gold, means, spreads = speakers(size, options.seed, options.overlap)
            write(Path(folder), utterances_of(gold, means, spreads, options.seed))
            result = cluster(Path(folder), gold, "--threads", str(options.threads))
        results.append(show(size=size, **result))
    if options.plot:
        plot(results, options.plot)


def plot(results: list[dict], path: Path) -> None:
    from matplotlib.figure import Figure

    sizes = np.array([r["size"] for r in results])
    figure = Figure(figsize=(6, 4), dpi=110)
    axes = figure.subplots()
    seconds = np.array([r["seconds"] for r in results])
    axes.loglog(sizes, seconds, "ko-", label="all")
    for phase in ("vectors", "index", "neighbours", "links", "tree", "clusters"):
        axes.loglog(sizes, [r["phases"][phase][0] for r in results], ".-", lw=1, label=phase)
    axes.loglog(
        *(sizes, seconds[0] * (sizes / sizes[0]) ** 1.15, "k:"), label="$N^{1.15}$ from the first"
    )
    axes.set_title(f"Clustering: $N^{{{growth(sizes, seconds):.2f}}}$ from the first to the last")
    axes.set_ylim(bottom=0.05)
    axes.set_xlabel("utterances")
    axes.set_ylabel("seconds")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def growth(sizes: np.ndarray, seconds: np.ndarray) -> float:
    """Exponent of N by which the first size's time becomes the last one's."""
    return float(np.log(seconds[-1] / seconds[0]) / np.log(sizes[-1] / sizes[0]))


def run_assign(options: argparse.Namespace) -> None:
    """Cluster one half, let the other join it, and compare with clustering all at once."""
    vectors, gold = corpus(options)
    threads = ("--threads", str(options.threads))
    half = np.random.default_rng(options.seed).permutation(len(gold)) < len(gold) // 2
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        folders = {part: Path(name) / part for part in ("all", "old", "new")}
        for folder, some in zip(folders.values(), (half | True, half, ~half), strict=True):
            folder.mkdir()
            write(folder, [vectors[some]])
        whole = cluster(folders["all"], gold, *threads)
        show(what="all at once", size=len(gold), **{k: whole[k] for k in ("seconds", "ari", "nmi")})
        cluster(folders["old"], gold[half], *threads)
        started = time.time()
        program(
            *("assign", "--embeddings", folders["new"], "--clusters", folders["old"] / "clusters"),
            *("--out", folders["new"] / "clusters", *threads),
        )
        seconds = round(time.time() - started, 1)
        labels = np.empty(len(gold), object)
        for part, some in (("old", half), ("new", ~half)):
            labels[some] = list(read_table(folders[part] / "clusters/utt2spk").values())
        labels = np.unique(labels.astype(str), return_inverse=True)[1]
        show(what="second half joined", size=len(gold), seconds=seconds, **scored(gold, labels))


def corpus(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """The vectors that the options ask for, and their speakers."""
    if not options.embeddings:
        return generate(options.size, options.seed, options.overlap)
    size = options.size if options.copies else 0
    return copies(options.embeddings, options.utt2spk, size, options.seed)


def run_beside(options: argparse.Namespace) -> None:
    vectors, gold = corpus(options)
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        write(Path(folder), [vectors])
        threads = ("--threads", str(options.threads))
        show(
            package="unspeech",
            size=len(gold),
            **cluster(Path(folder), gold, "--algorithm", "approximate", *threads),
        )
    for name in installed(options.packages):
        result = apart(other_package, name, vectors)
        labels = result.pop("result", None)
        show(package=name, **result, **({} if labels is None else scored(gold, labels)))


def run_libraries(options: argparse.Namespace) -> None:
    vectors, gold = generate(options.size, options.seed, options.overlap)
    count = 17
    rng = np.random.default_rng(options.seed)
    some = rng.choice(len(vectors), 2000, replace=False)
    true = np.argpartition(-(vectors[some] @ vectors.T), count, axis=1)[:, :count]
    inside = np.bincount(gold)[gold[some]] >= count
    for name in installed(
        ["unspeech", "faiss-ivf", "faiss-hnsw", "pynndescent", "usearch", "hnswlib"]
    ):
        result = apart(search_library, name, vectors, count)
        ids = result.pop("result", None)
        if ids is not None:
            pairs = zip(ids[some], true, strict=True)
            recall = np.array([len(np.intersect1d(a, b)) / count for a, b in pairs])
            result["recall_inside_speakers"] = round(float(recall[inside].mean()), 4)
            result["recall"] = round(float(recall.mean()), 4)
        show(library=name, size=len(vectors), **result)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["scale", "beside", "assign", "libraries"])
    parser.add_argument(
        "--sizes",
        type=lambda text: [int(word) for word in text.split(",")],
        default=[10_000, 30_000, 100_000, 200_000],
    )
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument("--overlap", type=float, default=0.0, help="fraction of close speakers")
    parser.add_argument("--embeddings", help="real ones instead of generated ones")
    parser.add_argument("--utt2spk", help="their speakers")
    parser.add_argument("--copies", action="store_true", help="repeat them up to --size")
    parser.add_argument(
        "--packages",
        type=lambda text: text.split(","),
        default=["hdbscan", "sklearn", "fast_hdbscan", "evoc"],
    )
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="for scale: picture to write")
    parser.add_argument("--dir", help="folder for temporary files")
    options = parser.parse_args()
    show(seed=options.seed, threads=options.threads, cores=os.cpu_count(), load=os.getloadavg()[0])
    {
        "scale": run_scale,
        "beside": run_beside,
        "assign": run_assign,
        "libraries": run_libraries,
    }[options.what](options)


if __name__ == "__main__":
    main()
