#!/usr/bin/env bash
# Make what recognition needs beside sound: lang directories of the ten digits with Kaldi's topology
# and with that of chain models (<lang-dir>_chain), and a grammar of equally likely digits.
#
# Usage: local/digits/lang.sh <lang-dir>
set -euo pipefail

. "$(dirname "$0")/../../path.sh"
. parse_options.sh
[ $# -eq 1 ] || usage
. ./path.sh
lang=$1
dict=$(dirname "$lang")/dict
lexicon=$UNSPEECH_ROOT/local/digits/lexicon.txt

rm -rf "$lang" "${lang}_chain" "$dict"
mkdir -p "$dict"
{ printf '<SIL> SIL\n<UNK> SPN\n'; cat "$lexicon"; } > "$dict/lexicon.txt"
printf 'SIL\nSPN\n' > "$dict/silence_phones.txt"
echo SIL > "$dict/optional_silence.txt"
cut -d ' ' -f 2- "$lexicon" | tr ' ' '\n' | sort -u > "$dict/nonsilence_phones.txt"
touch "$dict/extra_questions.txt"
utils/prepare_lang.sh --position-dependent-phones false "$dict" '<UNK>' "$dict/tmp" "$lang"

cut -d ' ' -f 1 "$lexicon" | sort -u |
  awk '{ print 0, 0, $1, $1, log(11) } END { print 0, log(11) }' |
  fstcompile --isymbols="$lang/words.txt" --osymbols="$lang/words.txt" | fstarcsort > "$lang/G.fst"
utils/validate_lang.pl "$lang"

cp -r "$lang" "${lang}_chain"
steps/nnet3/chain/gen_topo.py "$(cat "$lang/phones/nonsilence.csl")" \
  "$(cat "$lang/phones/silence.csl")" > "${lang}_chain/topo"
