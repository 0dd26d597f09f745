#!/usr/bin/env bash
# Make a Kaldi data directory of a corpus: of a data directory (paths in wav.scp may be relative to
# it), of a folder of audio files, or of the demo corpus, which is synthesised ("demo").
#
# Usage: steps_unspeech/import_corpus.sh [options] <corpus> <data-dir>
#  e.g.: steps_unspeech/import_corpus.sh /corpora/emodb data/emodb
set -euo pipefail

. "$(dirname "$0")/../path.sh"

seed=1             # of the demo corpus
join_seconds=0     # join a speaker's utterances, shuffled, until they are so long; 0: never
overwrite=false    # make it again, even if it was made of something else

. parse_options.sh
[ $# -eq 2 ] || usage
corpus=$1
data=$2

if [ "$corpus" = demo ]; then
  begin_step "$data" corpus=demo seed="$seed"
  tied python3 "$UNSPEECH_ROOT/local/demo/make_corpus.py" --seed "$seed" --out "$data"
else
  [ -d "$corpus" ] || die "$corpus: no such directory"
  files=$(find -L "$corpus" -type f -printf '%P %s\n' | sort | md5sum)
  begin_step "$data" corpus="$(realpath "$corpus")" files="md5:${files%% *}" \
    join_seconds="$join_seconds"
  tied python3 -m unspeech.corpus --out "$data" --join-seconds "$join_seconds" "$corpus"
fi
finish_step "$data"
