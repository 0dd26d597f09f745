#!/usr/bin/env bash
# Make what networks learn from and are tested on: <data-dir>/train_aug, train with copies of every
# utterance; its features for alignments (train_aug_mfcc); and features for networks and for Unspeech
# (train_aug_hires, test_hires, train_aug_fbank, test_fbank). sizes.sh says which copies: none, at
# other speeds, or of augment.sh.
#
# Usage: local/chain/copies.sh [options] <data-dir>
set -euo pipefail

. "$(dirname "$0")/../../path.sh"

nj=2
cmd=run.pl
seed=1

. parse_options.sh
[ $# -eq 1 ] || usage
. ./path.sh
# shellcheck source=local/digits/conf/sizes.sh
. ./sizes.sh
data=$1
options=(--nj "$nj" --cmd "$cmd")
steps=$UNSPEECH_ROOT/steps_unspeech

case $copies in
  none) make_copies=(utils/copy_data_dir.sh) ;;
  speeds) make_copies=("$steps/perturb_speed.sh") ;;
  augment) make_copies=("$steps/augment.sh" "${options[@]}" --seed "$seed" "${augment_options[@]}") ;;
  *) die "sizes.sh: copies is '$copies'; it may be none, speeds or augment" ;;
esac
once "$data/train_aug" "${make_copies[@]}" "$data/train" "$data/train_aug"
for features in train_aug.mfcc train_aug.mfcc_hires test.mfcc_hires; do
  new=$data/${features/.mfcc_/_}
  new=${new/./_}
  once "$new" "$UNSPEECH_ROOT/local/chain/features.sh" "${options[@]}" \
    "$data/${features%.*}" "${features#*.}" "$new"
done
for part in train_aug test; do
  once "$data/${part}_fbank" "$steps/import_corpus.sh" "$data/$part" "$data/${part}_fbank"
  once "$data/${part}_fbank/fbank" "$steps/make_fbank.sh" "${options[@]}" \
    "$data/${part}_fbank" "$data/${part}_fbank"/{log,fbank}
done
