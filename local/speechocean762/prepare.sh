#!/usr/bin/env bash
# Make data directories of SpeechOcean762, <data-dir>/true/{train,test}, its dictionary and a bigram
# of the training text, <data-dir>/{dict,lm.arpa}. The corpus is the published folder.
#
# Usage: local/speechocean762/prepare.sh [options] <corpus> <data-dir>
set -euo pipefail

. "$(dirname "$0")/../../path.sh"

held_out=0         # so many training speakers are the test, in place of the test part: to choose
                   # settings on [integer 0 to 124]

. parse_options.sh
[ $# -eq 2 ] || usage
. ./path.sh
data=$2

tied python3 "$UNSPEECH_ROOT/local/speechocean762/make_data.py" --held-out "$held_out" \
  --out "$data" "$1"
for part in train test; do
  utils/validate_data_dir.sh --no-feats "$data/true/$part"
done
utils/validate_dict_dir.pl "$data/dict"
utils/lang/make_kn_lm.py -ngram-order 2 -text "$data/lm_text" -lm "$data/lm.arpa"
