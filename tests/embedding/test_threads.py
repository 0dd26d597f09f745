"""A solved head does not depend on how many threads compute it."""

import os
import shutil
import sys

import numpy as np
import pytest
from helpers.shell import ROOT, run

from unspeech.embedding.solving import ContextSums


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")
def test_a_solved_head_is_the_same_with_any_number_of_threads(tmp_path):
    rng = np.random.default_rng(1)
    sums = ContextSums.zeros(396, 438)
    for values in rng.normal(size=(500, 396)).cumsum(axis=1):
        sums.add_utterance(values)
        sums.add_recording(values + rng.normal(size=(4, 396)))
    sums.save(tmp_path / "sums.npz")
    ids = set()
    for threads in "12":
        model = tmp_path / threads
        model.mkdir()
        shutil.copy(ROOT / "conf/statistics.yaml", model / "config.yaml")
        command = [
            "-m",
            "unspeech.solve",
            "head",
            "--model",
            model,
            "--sums",
            tmp_path / "sums.npz",
        ]
        done = run(sys.executable, *command, OPENBLAS_NUM_THREADS=threads)
        assert done.returncode == 0, done.stderr
        ids.add((model / "final.ie.id").read_text())
    assert len(ids) == 1
