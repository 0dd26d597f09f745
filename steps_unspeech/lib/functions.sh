# What the steps share. Sourced by path.sh; jobs.sh and outputs.sh beside it have the rest.
# shellcheck shell=bash

die() {
  echo "ERROR: $*" >&2
  exit 1
}

# list_options: the options of the script that is running, a line each: name, default and comment
# between them a tab. Options are the variables that it assigns at the start of a line, in lower
# case, before it sources parse_options.sh; a comment may go on in the lines below.
list_options() {
  awk '
    function show() { if (name != "") print name "\t" value "\t" text; name = "" }
    /parse_options\.sh/ { exit }
    /^[a-z][a-z0-9_]*=/ {
      show()
      name = $0; sub(/=.*/, "", name)
      value = substr($0, length(name) + 2); text = ""
      if (match(value, / +# /)) {
        text = substr(value, RSTART + RLENGTH); value = substr(value, 1, RSTART - 1)
      }
      next
    }
    /^ +# / { more = $0; sub(/^ +# /, "", more); text = text " " more; next }
    { show() }
    END { show() }' < "$0"
}

# Print the head comment of the script and its options with their defaults.
# Called without arguments after wrong use: to stderr, exit status 1. `usage 0` is for --help.
usage() {
  [ "${1:-1}" -ne 0 ] || exec 2>&1
  {
    awk 'NR == 1 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' < "$0"
    list_options | awk -F '\t' '
      {
        gsub(/_/, "-", $1); sub(/^\$UNSPEECH_ROOT\//, "", $2)
        if (NR == 1) print "\nOptions, with their defaults:"
        line = sprintf("  %-30s", "--" $1 " " $2)
        count = split($3, words, " ")
        for (i = 1; i <= count; i++) {
          if (length(line) + length(words[i]) > 98) { print line; line = sprintf("%32s", "") }
          line = line " " words[i]
        }
        print line
      }'
  } >&2
  exit "${1:-1}"
}

# answer_of <option>: what an option of the original program is here, if it was one.
answer_of() {
  awk -F '\t' -v name="$1" '$1 == name { print ", of the original: " $2 }' \
    "$UNSPEECH_ROOT/python/unspeech/cli/original_options.tsv"
}

require_files() {
  local file
  for file; do
    [ -e "$file" ] || die "$file: no such file"
    [ ! -d "$file" ] || die "$file: a directory, where a file should be"
    [ ! -f "$file" ] || [ -s "$file" ] || die "$file: the file is empty"
  done
}

# add_existing <array> <file> ...: append those of the files that are there; a link to nothing is,
# and is refused where it is read.
add_existing() {
  local -n unspeech_files=$1
  local unspeech_file
  for unspeech_file in "${@:2}"; do
    [[ ! -e $unspeech_file && ! -L $unspeech_file ]] || unspeech_files+=("$unspeech_file")
  done
}

# model_of <model>: a model directory, or that of a model of this name that is part of the project.
model_of() {
  local known=$UNSPEECH_ROOT/python/unspeech/pretrained/$1
  if [[ ! -e $1 && $1 != */* && -n $1 && -d $known ]]; then echo "$known"; else echo "$1"; fi
}

# The feature file of a data directory, or the .scp or .ark file itself.
feats_of() {
  local feats=$1
  [ ! -d "$feats" ] || feats=$feats/feats.scp
  [ -s "$feats" ] || die "$feats: no such file, or empty; run steps_unspeech/make_fbank.sh first"
  echo "$feats"
}

# sets_true <setting> <config.yaml>: whether a file of settings sets this one to true, in any of the
# ways that the programs take.
sets_true() {
  grep -Eiq "^$1 *: *([\"']?)(true|t|1|yes|on)\\1 *(#.*)?\$" "$2"
}

# setting_of <setting> <config.yaml> [<options>]: what a file of settings says, or options, which
# count over it; empty without.
setting_of() {
  local value
  value=$(sed -nE "s/^$1 *: *([\"']?)([^#]*[^# ])\1 *(#.*)?\$/\2/p" "$2" | tail -n 1)
  if [[ " ${3:-} " =~ .*' --'${1//_/[-_]}[\ =]+([^ ]+)' ' ]]; then    # the last
    value=${BASH_REMATCH[1]}
  fi
  echo "$value"
}

# without_network <config.yaml>: whether a model of these settings has no network.
without_network() {
  [ "$(setting_of embedding_transformation "$1")" = Statistics ]
}

# inputs_of <data> <config.yaml> [<options>]: the file that lists what a model of these settings
# takes: features, or with end_to_end the audio of a data directory. Options count over the file.
inputs_of() {
  local file audio=false
  ! sets_true end_to_end "$2" || audio=true
  if [[ " ${3:-} " =~ .*' --'(no-?)?end[-_]to[-_]end([ =]+([^ -][^ ]*))?' ' ]]; then    # the last
    audio=false
    [[ -n ${BASH_REMATCH[1]} || ${BASH_REMATCH[3],,} =~ ^(false|f|0)$ ]] || audio=true
  fi
  if $audio; then
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

# add_channels <array> <inputs> <data>: where a model takes the audio itself, `inputs_of`, append what
# else says which audio.
add_channels() {
  [[ $2 == *.scp && $2 != */wav.scp ]] || [[ $2 == *.ark ]] ||
    add_existing "$1" "$3/reco2file_and_channel"
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

# split_words <array> <text>: the words of an option such as --train-opts, which may be of several
# lines; quotes and backslashes are those of xargs.
split_words() {
  local unspeech_text
  unspeech_text=$(xargs -r printf '%s\n' <<< "$2" 2> /dev/null) || die "'$2': a quote is missing"
  mapfile -t "$1" < <([ -z "$unspeech_text" ] || echo "$unspeech_text")
}
