"""Words of any form: they reach jobs as they are."""

import pytest
from helpers.shell import ROOT, run, write_script
from helpers.step_calls import HOSTILE, step

WORDS = [
    "plain",
    *HOSTILE,
    "",
    "back\\slash",
    "new\nline",
    "*",
    "~",
    "a=b",
    "#",
    "tab\tand space",
    "x!y",
]


@pytest.mark.parametrize("runner", ["run_local.py", "run.pl"])
def test_words_reach_jobs_as_they_are(runner, tmp_path, request):
    root = str(request.getfixturevalue("kaldi")) if runner == "run.pl" else ""
    write_script(tmp_path / "show.py", "#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:])\n")
    script = f'cmd={runner}; run_jobs JOB=1:2 log/x.JOB.log ./show.py "$@"'
    head = f'set -euo pipefail\n. "{ROOT}/path.sh"\n{script}'
    result = run("bash", "-c", head, "bash", *WORDS, "x.JOB.scp", cwd=tmp_path, KALDI_ROOT=root)
    assert result.returncode == 0, result.stderr
    for job in (1, 2):
        shown = (tmp_path / f"log/x.{job}.log").read_text().splitlines()
        assert repr([*WORDS, f"x.{job}.scp"]) in shown
    assert not (tmp_path / "oops").exists()


@pytest.mark.parametrize("name", ["a b", "a;touch oops", "$(touch oops)", "(a)"])
def test_logs_that_kaldis_runners_cannot_write_are_refused(name, tmp_path, kaldi):
    script = 'cmd=run.pl; run_jobs "$1/x.log" true'
    head = f'set -euo pipefail\n. "{ROOT}/path.sh"\n{script}'
    result = run("bash", "-c", head, "bash", name, cwd=tmp_path, KALDI_ROOT=str(kaldi))
    assert result.returncode == 1
    assert f"{name}/x.log: run.pl cannot write to a file of such a name" in result.stderr
    assert not (tmp_path / "oops").exists()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--a 1\n--b 2", ["--a", "1", "--b", "2"]),
        ("--a 'x y'", ["--a", "x y"]),
        ("", []),
        ("\n", []),
    ],
)
def test_options_of_several_lines_and_quotes(option, words, tmp_path):
    head = f'set -eu\n. "{ROOT}/path.sh"\nsplit_words all "$1"; [ ${{#all[@]}} -eq 0 ] || '
    result = run("bash", "-c", head + 'printf "<%s>" "${all[@]}"', "bash", option, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "".join(f"<{word}>" for word in words))


def test_training_gets_all_lines_of_its_options(place):
    write_script(place / "show", '#!/bin/sh\necho "$@" > shown\nexit 1\n')
    options = "--fc-size 16\n--batch-size 8"
    step("train", "--cmd", place / "show", "--train-opts", options, "feats", "out", cwd=place)
    assert "--fc-size 16 --batch-size 8" in (place / "shown").read_text()
