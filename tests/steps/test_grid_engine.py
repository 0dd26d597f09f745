"""Jobs by Kaldi's queue.pl, on a real Grid Engine of this machine."""

import pytest
from helpers.jobs import check_a_failure_and_what_is_left
from helpers.queues import grid_engine
from helpers.shell import ROOT


@pytest.fixture(scope="module")
def queue(kaldi, tmp_path_factory):
    with grid_engine(tmp_path_factory.mktemp("grid_engine")):
        yield f"queue.pl --config {ROOT}/conf/queue.conf --mem 1G"


def test_only_what_is_missing_is_done_again(tmp_path, queue):
    check_a_failure_and_what_is_left(tmp_path, queue)
