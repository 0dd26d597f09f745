#!/usr/bin/env bash
# Make .venv with the packages of the requirement files, in the versions of requirements-lock.txt,
# unless it is there. It is made again when those files change.
#
# Usage: steps_unspeech/lib/setup_venv.sh [options]
#  e.g.: steps_unspeech/lib/setup_venv.sh --dev true
set -euo pipefail

. "$(dirname "$0")/../../path.sh"

gpu=false          # TensorFlow with CUDA; serves as well where there is no GPU
dev=false          # also what the tests need

. parse_options.sh
[ $# -eq 0 ] || usage

cd "$UNSPEECH_ROOT"
venv=$UNSPEECH_ROOT/.venv
marker=$venv/installed    # what is installed, a line a file; written last
begun=$venv/begun         # that it is ours; written first
log=.venv-setup.log
key=$(cat requirements*.txt | md5sum | cut -c 1-32)

entry() {
  echo "$UNSPEECH_ROOT $1 $key"
}

has() {
  [ -x "$venv/bin/python3" ] && [ -f "$marker" ] && grep -qxF "$(entry "requirements-$1.txt")" "$marker"
}

complete() {
  { has gpu || { ! $gpu && has cpu; }; } && { ! $dev || has dev; }
}

find_python() {
  local python
  for python in python3.11 python3.12 python3.13 python3; do
    if "$python" -c 'import ensurepip, sys, venv
sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2> /dev/null; then
      command -v "$python"
      return
    fi
  done
  die "no Python 3.11, 3.12 or 3.13 with its venv module was found on PATH; install one" \
    "(on Debian and Ubuntu: apt-get install python3.11 python3.11-venv)"
}

! complete || exit 0
exec 8< "$UNSPEECH_ROOT"
if ! flock -n 8; then
  echo "Waiting for another set-up of .venv to end"
  flock 8
  ! complete || exit 0
fi

build=cpu
if $gpu || has gpu; then build=gpu; fi
wanted=("requirements-$build.txt")
if $dev || has dev; then wanted+=(requirements-dev.txt); fi
python=$(find_python)
if ! has "$build" && [ -e "$venv" ]; then    # it stays until the new one is complete
  [ -e "$marker" ] || [ -e "$begun" ] ||
    die "$venv is there, and was not made by this script; rename or remove it"
  if [ -e "$marker" ] || [ ! -e "$venv.replaced" ]; then
    rm -rf "$venv.replaced"
    mv "$venv" "$venv.replaced"
  else    # what was being set up when it was killed
    rm -rf "$venv"
  fi
fi
mkdir -p "$venv"
touch "$begun"
[ ! -e "$marker" ] || mv "$marker" "$marker.before"
echo "Setting up .venv with ${wanted[*]} ($("$python" --version)), a minute or two; log: $log"

install() {
  [ -x "$venv/bin/python3" ] || "$python" -m venv "$venv" || return 1
  "$venv/bin/python3" -m pip install --disable-pip-version-check --no-input \
    --constraint requirements-lock.txt "${wanted[@]/#/--requirement=}"
}

if ! install > "$log" 2>&1; then
  tail -n 15 "$log" >&2
  if [ -e "$venv.replaced" ]; then
    rm -rf "$venv"
    mv "$venv.replaced" "$venv"
  fi
  [ ! -e "$marker.before" ] || mv "$marker.before" "$marker"
  die "setting up .venv failed, see $log; run this again when it is mended"
fi
for file in "${wanted[@]}"; do
  entry "$file"
done > "$marker.part"
mv "$marker.part" "$marker"
rm -f "$marker.before"
rm -rf "$venv.replaced"
