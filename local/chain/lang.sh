#!/usr/bin/env bash
# Make what recognition needs beside sound: <lang-dir> with Kaldi's topology and the grammar of an
# ARPA language model, and <lang-dir>_chain with the topology of chain models.
#
# Usage: local/chain/lang.sh [options] <dict-dir> <lm.arpa> <lang-dir>
set -euo pipefail

. "$(dirname "$0")/../../path.sh"

position_dependent_phones=true   # phones at the beginning and end of words are others

. parse_options.sh
[ $# -eq 3 ] || usage
. ./path.sh
dict=$1
lm=$2
lang=$3

rm -rf "$lang" "${lang}_chain"
utils/prepare_lang.sh --position-dependent-phones "$position_dependent_phones" \
  "$dict" '<UNK>' "$dict/tmp" "$lang"
arpa2fst --disambig-symbol='#0' --read-symbol-table="$lang/words.txt" "$lm" "$lang/G.fst"
utils/validate_lang.pl "$lang"

cp -r "$lang" "${lang}_chain"
steps/nnet3/chain/gen_topo.py "$(cat "$lang/phones/nonsilence.csl")" \
  "$(cat "$lang/phones/silence.csl")" > "${lang}_chain/topo"
