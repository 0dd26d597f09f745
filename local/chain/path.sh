# The work directory's path.sh: sourced there by Kaldi's scripts and by ours for it.
# shellcheck shell=bash

export PATH=$PWD/utils:$PATH    # Kaldi's parse_options.sh before ours

# once <output-dir> <command> [<argument> ...]: run a command, unless it has ended well before.
# <output-dir>/.done says how many seconds it took.
once() {
  local dir=$1 log=log/${1//\//-}.log started=$SECONDS
  shift
  [ ! -e "$dir/.done" ] || return 0
  mkdir -p log
  "$@" > "$log" 2>&1 || {
    tail -n 20 "$log" >&2
    die "$dir: $1 failed; log: $PWD/$log"
  }
  echo "$((SECONDS - started))" > "$dir/.done"
  # So that the recipe is not resumed with other settings; see begin_step in work_dir.sh.
  [ ! -d .RESULTS.md.done ] || touch ".RESULTS.md.done/${dir//\//-}"
  echo "$dir: $((SECONDS - started)) s"
}

# jobs_of <data> <nj>: how many jobs its speakers can be divided among, at most <nj>.
jobs_of() {
  awk -v nj="$2" 'END { print NR < nj ? NR : nj }' "$1/spk2utt"
}
