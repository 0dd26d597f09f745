"""What the tests of the page share: a corpus, and a server that listens to it."""

import pytest
from helpers.browser import Browser, find_browser
from helpers.listen import make_corpus, serving
from helpers.page import open_page


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


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    find_browser()
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(browser, tmp_path):
    """The browser with the page of a corpus open, its client, process and folder."""
    with serving(make_corpus(tmp_path)) as (client, process):
        browser.errors.clear()
        open_page(browser, client)
        yield browser, client, process, tmp_path
        browser.send("Page.navigate", url="about:blank")
