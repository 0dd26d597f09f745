"""Other packages that cluster, and libraries of nearest neighbours, in processes of their own."""

import importlib.util
import io
import multiprocessing
import os
import resource
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from unspeech.clustering.graph import Graph
from unspeech.clustering.neighbours import build_index, join_blocks

LIMIT = 1800  # seconds that a run may take


def other_package(name: str, vectors: np.ndarray) -> np.ndarray:
    """Labels by another package with our default settings."""
    settings = {"min_cluster_size": 5, "min_samples": 2}
    if name == "hdbscan":
        import hdbscan

        return hdbscan.HDBSCAN(**settings).fit_predict(vectors)
    if name == "sklearn":
        from sklearn.cluster import HDBSCAN

        # sklearn counts the utterance itself as its first neighbour.
        return HDBSCAN(min_cluster_size=5, min_samples=3, copy=True).fit_predict(vectors)
    if name == "fast_hdbscan":
        import fast_hdbscan

        return fast_hdbscan.HDBSCAN(**settings).fit_predict(vectors)
    import evoc

    return evoc.EVoC(base_min_cluster_size=5, random_state=1).fit_predict(vectors)


def search_library(name: str, vectors: np.ndarray, count: int) -> np.ndarray:
    """Each vector's nearest neighbours by a library, (vectors, count) ids, itself included."""
    size = len(vectors)
    if name == "unspeech":
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
            graph = Graph(Path(folder), len(os.sched_getaffinity(0)))
            np.save(graph.folder / "vectors.npy", vectors)
            (graph.folder / "vectors.json").write_text("{}")
            build_index(graph, 1)
            join_blocks(graph, count - 1)
            ids = np.load(graph.folder / "ids.npy")
        return np.concatenate([np.arange(size)[:, None], ids], axis=1)
    if name in ("faiss-ivf", "faiss-hnsw"):
        import faiss

        if name == "faiss-ivf":
            index = faiss.index_factory(vectors.shape[1], f"IVF{size // 250},Flat")
            index.cp.niter, index.cp.max_points_per_centroid = 4, 40
            index.train(vectors)
            index.nprobe = 8
        else:
            index = faiss.IndexHNSWFlat(vectors.shape[1], 16)
            index.hnsw.efConstruction, index.hnsw.efSearch = 60, 48
        index.add(vectors)
        return index.search(vectors, count)[1]
    if name == "hnswlib":
        import hnswlib

        index = hnswlib.Index("l2", vectors.shape[1])
        index.init_index(size, ef_construction=60, M=16, random_seed=1)
        index.add_items(vectors)
        index.set_ef(48)
        return index.knn_query(vectors, count)[0].astype(np.int64)
    if name == "usearch":
        from usearch.index import Index

        index = Index(
            ndim=vectors.shape[1], metric="l2sq", dtype="f32", connectivity=16, expansion_add=60,
            expansion_search=48,
        )  # fmt: skip
        index.add(np.arange(size), vectors)
        return index.search(vectors, count).keys.astype(np.int64)
    import pynndescent

    index = pynndescent.NNDescent(vectors, n_neighbors=count, random_state=1)
    return index.neighbor_graph[0]


def apart(function, name: str, vectors: np.ndarray, *args) -> dict:
    """Call function(name, vectors, …) in a process of its own.

    Returns: seconds, megabytes on top of the vectors, and result.
    """

    def child(pipe) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        before = pages * resource.getpagesize() // 2**20
        function(name, vectors[:1000], *args)  # compile first
        started = time.time()
        result = function(name, vectors, *args)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        pipe.send((time.time() - started, memory - before, result))

    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(theirs,))
    process.start()
    theirs.close()
    try:
        if not ours.poll(LIMIT):
            return {"seconds": f"more than {LIMIT}"}
        seconds, memory, result = ours.recv()
    except EOFError:
        return {"seconds": "failed"}
    finally:
        process.kill()
        process.join()
    return {"seconds": round(seconds, 2), "megabytes": memory, "result": result}


def installed(names: list[str]) -> list[str]:
    return [n for n in names if importlib.util.find_spec(n.partition("-")[0])]
