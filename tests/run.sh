#!/usr/bin/env bash
# Check the style of all code and run all tests, in .venv, which is made when it is missing.
#
# Usage: tests/run.sh [<pytest argument> ...]
#  e.g.: tests/run.sh
#        tests/run.sh --quick  # some, and no check of scripts: under a minute on two idle cores
#        tests/run.sh --all    # with those that take long
#        tests/run.sh tests/steps/test_shell.py -k runner
# Tests on real speech look for corpora in UNSPEECH_CORPORA, tests with Kaldi's scripts for a
# checkout in KALDI_ROOT; they are skipped, with a message, where there is none.
set -euo pipefail

cd "$(dirname "$0")/.."
steps_unspeech/lib/setup_venv.sh --dev true
. ./path.sh

ruff check .
ruff format --check .
if [ "${1:-}" != --quick ]; then    # some at a time, as many as there are processors
  find . -path ./.venv -prune -o -path ./exp -prune -o \( -name '*.sh' -o -path ./.ci/run \) -print0 |
    xargs -0 -n 5 -P "$(nproc)" shellcheck -x
fi
python3 -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder "$@"
