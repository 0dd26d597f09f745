# What the steps share to begin and finish an output; state.py says what is kept about it.
# shellcheck shell=bash

# file_key <file>: a digest of the file and of what it points to.
file_key() {
  python3 -m unspeech.origins "$1"
}

# differences <now> <file>: how lines `name value` differ from a file's, in words; nothing if they
# do not.
differences() {
  awk '
    { value = substr($0, length($1) + 2) }
    NR == FNR { now[$1] = value; names[++count] = $1; next }
    { old[$1] = value; if (!($1 in now)) names[++count] = $1 }
    END {
      for (i = 1; i <= count; i++) {
        name = names[i]
        if (name in now && name in old && now[name] == old[name]) continue
        printf "%s%s was \"%s\", is \"%s\"", separator, name, old[name], now[name]
        separator = "; "
      }
    }' <(echo "$1") - < "$2"
}

# keep_apart <output> <input> ...: refuse an output that is an input, and a directory that holds or
# lies in an input that is one; by their real paths.
keep_apart() {
  local output input place
  output=$(realpath -m -- "$1")
  for input in "${@:2}"; do
    [ -n "$input" ] || continue
    place=$(realpath -m -- "$input")
    [ "$output" != "$place" ] || die "$1: this is an input, $input; give another output"
    [ -d "$input" ] || continue
    [[ $place/ != "${output%/}"/* ]] || die "$1: the input $input lies in it; give another output"
    [[ $output/ != "${place%/}"/* ]] || die "$1: it lies in the input $input; give another output"
  done
}

# lock_dir <file> <directory>: have nobody else work in the directory, until this script and its
# jobs have ended: they hold the file open. Waits a minute for whoever is at work.
lock_dir() {
  local seconds=${UNSPEECH_LOCK_SECONDS:-60}
  { : >> "$1"; } 2> /dev/null || die "$1: cannot be written to; give another directory"
  exec {unspeech_lock}>> "$1"
  if ! flock -n "$unspeech_lock"; then
    echo "Waiting, since at work in $2: $(cat "$1")" >&2
    flock -w "$seconds" "$unspeech_lock" ||
      die "another call is at work in $2: $(cat "$1"); wait for it, or give another directory"
  fi
  echo "$0, process $$ on $HOSTNAME" > "$1"
}

# begin_step <last-output> [name=value | --name value ...] [-- input ... [-- other-output ...]]
# Locks the directory of the output and notes what it is made from. Ends the script when it is
# complete already; with an error when it was made from something else, when the outputs are not
# this step's, or lie in, hold or are an input. <dir>/ is a last output that is a directory.
begin_step() {
  local output=$1 sources=() outputs=("$1") section=0 word parent lock status=0
  for word in "${@:2}"; do
    if [ "$word" = -- ]; then
      section=$((section + 1))
    elif [ "$section" -eq 1 ]; then
      sources+=("$word")
    elif [ "$section" -eq 2 ]; then
      outputs+=("$word")
    fi
  done
  parent=$(dirname "$output") lock=.lock
  if [[ $output == */ ]]; then
    lock=.$(basename "$output").lock
    keep_apart "$output" "${sources[@]}"
  else
    keep_apart "$parent" "${sources[@]}"
    word=$(realpath -m -- "${outputs[@]}" | grep -Fxf <(realpath -m -- "${sources[@]:-/}")) &&
      die "$word: an input and an output; give another output"
  fi
  word=$(mkdir -p "$parent" 2>&1) || die "$word; give another directory"
  lock_dir "$parent/$lock" "$output"
  state.py begin "${overwrite:-false}" "$@" || status=$?
  case $status in
    0) ;;
    3) exit 0 ;;
    *) exit "$status" ;;
  esac
  # shellcheck disable=SC2034    # run_jobs uses it
  unspeech_output=$output
}

# same_utterances <last-output> <table> <output> [<left-out>]: end the script unless a step's output
# has the utterances of the table that it was made from, but for those that are listed as left out.
same_utterances() {
  state.py same "$@"
}

# finish_step <last-output>: say that it is complete; the step's last line.
finish_step() {
  state.py finish "$1"
}
