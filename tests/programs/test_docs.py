"""README.md and docs/: links, files, programs and options that they name exist."""

import ast
import importlib
import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from helpers.programs import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
# Files of ours begin so; the same names in Kaldi's recipes are left out.
OURS = re.compile(
    r"(?<![\w./{}$-])(?:docs|steps_unspeech|conf|tests|python/unspeech|local)/[\w./*-]*[\w*]"
)
KALDI = re.compile(r"local/(chain2?|nnet3|ext)/(run_tdnn|compare_wer\w*|run_ivector_common)\.sh")


def pages(kind: str):
    return pytest.mark.parametrize(kind, PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text_of(page), flags=re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def blocks(page: Path, *languages: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", text_of(page), re.S | re.M)
    return [block for language, block in found if language in languages]


@pages("page")
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pages("page")
def test_named_files_exist(page):
    for name in OURS.findall(text_of(page)):
        if KALDI.fullmatch(name):
            continue
        # A recipe of ours has a conf/ of its own.
        places = [ROOT, *ROOT.glob("local/*/")] if name.startswith("conf/") else [ROOT]
        assert any(any(place.glob(name)) for place in places), name


@pages("page")
def test_named_programs_and_modules_exist(page):
    text = text_of(page)
    for name in set(re.findall(r"-m (unspeech\.[a-z][\w.]*\w)", text)):
        spec = importlib.util.find_spec(name)
        assert spec, name
        assert spec.submodule_search_locations is None or importlib.util.find_spec(
            f"{name}.__main__"
        ), f"{name} is no program"
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("unspeech"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module}.{alias.name}"


def calls(block: str) -> list[list[str]]:
    """Words of each command of a block of bash, continued lines and comments taken care of."""
    block = re.sub(r"\\\n", " ", block)
    found = []
    for line in block.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()")
        lexer.wordchars += "$={},:<>…"
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set(";&|()"):
                found.append(words)
                words = []
            else:
                words.append(word)
    return [words for words in found if words]


@pytest.fixture(scope="module")
def options():
    """The options of a script, by what it prints for --help."""
    known = {}

    def of(script: Path) -> set[str]:
        if script not in known:
            called = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
            known[script] = set(re.findall(r"^  --([\w-]+)", called.stdout, re.M))
        return known[script]

    return of


@pages("page")
def test_options_in_examples_exist(page, options):
    for block in blocks(page, "", "bash"):
        for words in calls(block):
            while re.match(r"\w+=", words[0]) and len(words) > 1:
                words = words[1:]
            script = words[0].replace("$steps/", "steps_unspeech/").removeprefix("./")
            if not re.match(r"(run\.sh|(steps_unspeech|local/\w+)/\w+\.sh)$", script):
                continue
            if KALDI.fullmatch(script) or not (ROOT / script).exists():
                continue  # Kaldi's; that ours exist is another test's
            taken = options(ROOT / script)
            rest = iter(words[1:])
            for word in rest:
                if word.startswith("--"):
                    name, separator, _ = word[2:].partition("=")
                    assert name.replace("_", "-") in taken, f"{script} {word}"
                    if not separator:
                        next(rest)  # its value, which may begin with -- as well


def test_the_readme_is_short():
    assert len(text_of(ROOT / "README.md").splitlines()) <= 150


def test_the_index_names_every_page():
    named = re.findall(r"\]\(([\w.]+\.md)", text_of(ROOT / "docs/README.md"))
    assert {page.name for page in PAGES if page.parent == ROOT / "docs"} <= {*named, "README.md"}
