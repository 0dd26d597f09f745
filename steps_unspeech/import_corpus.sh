#!/usr/bin/env bash
# Make a Kaldi data directory from a corpus. <corpus> is a data directory (paths in wav.scp may be
# relative to it), a folder of audio files, or "demo" for the demo corpus, which is synthesised.
#
# Usage: steps_unspeech/import_corpus.sh [options] <corpus> <data-dir>
#  e.g.: steps_unspeech/import_corpus.sh /corpora/emodb data/emodb
set -euo pipefail

. "$(dirname "$0")/../path.sh"

seed=1             # of the demo corpus [integer >= 0]
features=true      # false: leave out the corpus's feats.scp, to make other features
join_seconds=0     # join a speaker's utterances, in random order, to about so many seconds; 0: do not
                   # [number 0 to 86400]
overwrite=false    # make it again, even if settings or inputs have changed

. parse_options.sh
[ $# -eq 2 ] || usage
corpus=$1
data=$2

if [ "$corpus" = demo ]; then
  begin_step "${data%/}/" corpus=demo seed="$seed"
  tied python3 "$UNSPEECH_ROOT/local/demo/make_corpus.py" --seed "$seed" --replace true --out "$data"
else
  [ -d "$corpus" ] || die "$corpus: no such directory"
  inputs=("$corpus")
  if [ -e "$corpus/wav.scp" ] || [ -e "$corpus/feats.scp" ]; then
    # Not every file in it: Kaldi's steps add to the data directory that they work on.
    add_existing inputs "$corpus"/{wav.scp,segments,utt2spk,utt2uniq,utt2lang,spk2gender,text} \
      "$corpus/reco2file_and_channel"
    ! $features || add_existing inputs "$corpus/feats.scp"
    files=
  else
    # It complains of links that lead back; the program that reads the folder lists those.
    files=$({ find -L "$corpus" -type f -printf '%P %s %T@\n' 2> /dev/null || true; } | sort | md5sum)
  fi
  begin_step "${data%/}/" corpus="$(realpath "$corpus")" ${files:+files="md5:${files%% *}"} \
    join_seconds="$join_seconds" features="$features" -- "${inputs[@]}"
  tied python3 -m unspeech.corpus --replace true --out "$data" --join-seconds "$join_seconds" \
    --features "$features" "$corpus"
fi
finish_step "${data%/}/"
