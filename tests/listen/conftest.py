"""What the tests of the page share: a corpus, and a server that listens to it."""

import pytest
from helpers.listen import make_corpus, serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def client(folder):
    with serving(folder) as (client, _):
        yield client


@pytest.fixture
def own(tmp_path):
    """A corpus and a server that a test may change."""
    with serving(make_corpus(tmp_path)) as (client, process):
        yield tmp_path, client, process
