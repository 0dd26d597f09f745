#!/usr/bin/env bash
# Make what networks learn from and are tested on: <data-dir>/train_aug, train with a copy of every
# utterance through another microphone and three in other voices, since a handful of speakers is too
# few for a network; features for alignments (train_aug_mfcc) and networks (…_hires of it and test).
#
# Usage: local/digits/copies.sh [options] <data-dir>
set -euo pipefail

. "$(dirname "$0")/../../path.sh"

nj=2
cmd=run.pl
seed=1

. parse_options.sh
[ $# -eq 1 ] || usage
. ./path.sh
data=$1
options=(--nj "$nj" --cmd "$cmd")

once "$data/train_aug" "$UNSPEECH_ROOT/steps_unspeech/augment.sh" "${options[@]}" \
  --seed "$seed" --copies 1 --voices 3 "$data/train" "$data/train_aug"
for features in train_aug.mfcc train_aug.mfcc_hires test.mfcc_hires; do
  new=$data/${features/.mfcc_/_}
  new=${new/./_}
  once "$new" "$UNSPEECH_ROOT/local/digits/features.sh" "${options[@]}" \
    "$data/${features%.*}" "${features#*.}" "$new"
done
