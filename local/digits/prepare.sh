#!/usr/bin/env bash
# Make <data-dir>/fold<N>/true/{train,test} of spoken digits, their dictionary and a language model in
# which any digit follows any, <data-dir>/{dict,lm.arpa}.
#
# Usage: local/digits/prepare.sh [options] <corpus> <data-dir>
set -euo pipefail

. "$(dirname "$0")/../../path.sh"

folds=3            # parts of the speakers, each of which is tested on once [integer >= 2]
seed=1             # of strings of digits and of which speakers a fold tests [integer >= 0]

. parse_options.sh
[ $# -eq 2 ] || usage
. ./path.sh
corpus=$1
data=$2
lexicon=$UNSPEECH_ROOT/local/digits/lexicon.txt

tied python3 "$UNSPEECH_ROOT/local/digits/make_folds.py" --folds "$folds" --seed "$seed" \
  --out "$data" "$corpus"

dict=$data/dict
rm -rf "$dict"
mkdir -p "$dict"
{ printf '<SIL> SIL\n<UNK> SPN\n'; cat "$lexicon"; } > "$dict/lexicon.txt"
printf 'SIL\nSPN\n' > "$dict/silence_phones.txt"
echo SIL > "$dict/optional_silence.txt"
cut -d ' ' -f 2- "$lexicon" | tr ' ' '\n' | sort -u > "$dict/nonsilence_phones.txt"
touch "$dict/extra_questions.txt"
cut -d ' ' -f 1 "$lexicon" | sort -u | awk '
  { words[NR] = $1 }
  END {
    each = -log(NR + 1) / log(10)
    printf "\\data\\\nngram 1=%d\n\n\\1-grams:\n-99 <s>\n%f </s>\n", NR + 2, each
    for (i = 1; i <= NR; i++) printf "%f %s\n", each, words[i]
    print "\n\\end\\"
  }' > "$data/lm.arpa"
