# What the steps share. Sourced by path.sh.
# shellcheck shell=bash

die() {
  echo "ERROR: $*" >&2
  exit 1
}

# Print the head comment of the script and its options with their defaults.
# Called without arguments after wrong use: to stderr, exit status 1. `usage 0` is for --help.
usage() {
  [ "${1:-1}" -ne 0 ] || exec 2>&1
  awk '
    NR == 1 { next }
    /^#/ && !body { sub(/^# ?/, ""); print; next }
    /parse_options\.sh/ { exit }
    { body = 1 }
    /^[a-z_]+=/ {
      name = $0; sub(/=.*/, "", name)
      value = substr($0, length(name) + 2); text = value
      if (match(value, / +# /)) {
        text = substr(value, RSTART + RLENGTH); value = substr(value, 1, RSTART - 1)
      } else text = ""
      gsub(/_/, "-", name); sub(/\$UNSPEECH_ROOT\//, "", value)
      if (!options++) print "\nOptions, with their defaults:"
      printf "  %-30s %s\n", "--" name " " value, text
    }' "$0" >&2
  exit "${1:-1}"
}

# answer_of <option>: what an option of the original program is here, if it was one.
answer_of() {
  awk -F '\t' -v name="$1" '$1 == name { print ", of the original: " $2 }' \
    "$UNSPEECH_ROOT/python/unspeech/original_options.tsv"
}

require_files() {
  local file
  for file; do
    [ -e "$file" ] || die "$file: no such file"
    [ ! -f "$file" ] || [ -s "$file" ] || die "$file: the file is empty"
  done
}

# The feature file of a data directory, or the .scp or .ark file itself.
feats_of() {
  local feats=$1
  [ ! -d "$feats" ] || feats=$feats/feats.scp
  [ -s "$feats" ] || die "$feats: no such file, or empty; run steps_unspeech/make_fbank.sh first"
  echo "$feats"
}

# inputs_of <data> <config.yaml> [<options>]: the file that lists what a model of these settings
# takes: features, or with end_to_end the audio of a data directory.
inputs_of() {
  local file
  if grep -Eq '^end_to_end: *true' "$2" || [[ ${3:-} =~ --end[-_]to[-_]end([ =]([Tt]rue|t|1)|$| --) ]]; then
    for file in "$1/segments" "$1/wav.scp"; do
      if [ -s "$file" ]; then
        echo "$file"
        return
      fi
    done
    die "$1/wav.scp: no such file, or empty; end_to_end needs a data directory with audio"
  fi
  feats_of "$1"
}

# The vectors of an embedding directory or matrices of an i-vector directory, or the file itself.
vectors_of() {
  local file
  for file in "$1/embedding.scp" "$1/ivector_online.scp" "$1"; do
    if [ -f "$file" ] && [ -s "$file" ]; then
      echo "$file"
      return
    fi
  done
  die "$1: no embedding.scp or ivector_online.scp in it; run steps_unspeech/embed_utterances.sh"
}

# split_scp <scp> <nj> <out-dir>: split into contiguous blocks whose sizes differ by one at most,
# <out-dir>/<name>.<JOB>.scp, as Kaldi's split_scp.pl does. Prints the number of jobs: fewer than
# <nj> if there are fewer lines.
split_scp() {
  local scp=$1 nj=$2 out=$3 name part lines
  [ "$nj" -ge 1 ] || die "--nj must be at least 1, not $nj"
  name=$(basename "$scp" .scp)
  lines=$(awk 'END { print NR }' "$scp")
  [ "$lines" -gt 0 ] || die "$scp: the file is empty"
  [ "$nj" -le "$lines" ] || nj=$lines
  mkdir -p "$out"
  part=$(mktemp -d "$out/.$name.XXXXXX")
  awk -v prefix="$part/$name" -v lines="$lines" -v nj="$nj" '
    NR > limit { job++; limit += int(lines / nj) + (job <= lines % nj) }
    { print > (prefix "." job ".scp") }' "$scp"
  rm -f "$out/$name".*.scp
  mv "$part"/* "$out"
  rmdir "$part"
  echo "$nj"
}

# job_files <pattern> <nj>: the pattern's files of all jobs, JOB replaced by 1 to nj, one a line.
job_files() {
  local job
  for ((job = 1; job <= $2; job++)); do
    echo "${1//JOB/$job}"
  done
}

# tied <command> [<argument> ...]: run a command that ends with this script, even by kill -9.
tied() {
  python3 -m unspeech.processes "$@"
}

# join_jobs <pattern> <nj> <scp> [<ark>]: join the scp files of all jobs, sorted; with <ark>, copy
# what they point at into that one archive.
join_jobs() {
  local parts
  mapfile -t parts < <(job_files "$1" "$2")
  tied python3 -m unspeech.join_scps --out "$3" ${4:+--ark "$4"} "${parts[@]}"
}

# join_text <pattern> <nj> <out>: join the text files of all jobs, sorted.
join_text() {
  local parts
  mapfile -t parts < <(job_files "$1" "$2")
  sort "${parts[@]}" > "$3.part"
  mv "$3.part" "$3"
}

# What an output was made from
#
# Beside its last output file X, a step leaves .X.made_from: a line `name value` an option and
# `name md5` an input file, so that a second call knows whether there is anything to do. While a
# step works the file is called .X.making_from. It is written and renamed atomically.

# file_key <file>: a digest of the file's text and of what the file was made from, since an scp
# file can stay the same while the archives that it points at change.
file_key() {
  local origin
  origin=$(dirname "$1")/.$(basename "$1").made_from
  if [ -e "$origin" ]; then cat "$1" "$origin"; else cat "$1"; fi | md5sum | cut -c 1-32
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
        if (now[name] ~ /^md5:/ && old[name] ~ /^md5:/) text = name " is another one now"
        else text = name " was \"" old[name] "\", is \"" now[name] "\""
        printf "%s%s", separator, text
        separator = "; "
      }
    }' <(echo "$1") "$2"
}

# begin_step <last-output> [name=value | --name value ...] [-- file ...]
# Ends the script when the output is complete already, or with an error when it was made from
# something else. With overwrite=true in the script, forgets the old output first.
begin_step() {
  local output=$1 state made making now origin difference
  shift
  mkdir -p "$(dirname "$output")"
  state=$(dirname "$output")/.$(basename "$output")
  made=$state.made_from making=$state.making_from
  now=$(
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
      if [[ $1 == --* ]]; then
        echo "${1#--} $2"
        shift
      else
        echo "${1%%=*} ${1#*=}"
      fi
      shift
    done
    while [ $# -gt 1 ]; do
      shift
      echo "$(basename "$1") md5:$(file_key "$1")"
    done
  )
  if "${overwrite:-false}"; then
    rm -rf "$made" "$making" "$output" "$state.done"
  fi
  for origin in "$made" "$making"; do
    [ -e "$origin" ] || continue
    difference=$(differences "$now" "$origin")
    [ -z "$difference" ] || die "$output was made otherwise: $difference; give another directory," \
      "or --overwrite true to make it again"
  done
  if [ -e "$made" ] && [ -e "$output" ]; then
    echo "$output is complete already: nothing to do"
    exit 0
  fi
  [ -e "$made" ] || [ -e "$making" ] || [ ! -e "$output" ] || die "$output exists and was not" \
    "made by this step; give another directory, or --overwrite true to replace it"
  rm -f "$made"
  echo "$now" > "$making.part"
  mv "$making.part" "$making"
  mkdir -p "$state.done"
}

# finish_step <last-output>: say that it is complete; the step's last line.
finish_step() {
  local state
  state=$(dirname "$1")/.$(basename "$1")
  mv "$state.making_from" "$state.made_from"
  rm -rf "$state.done"
}
