#!/usr/bin/env bash
# Train GMMs on <data-dir>/train and decode <data-dir>/test: monophones, triphones on deltas, on
# LDA and MLLT, and adapted to speakers by fMLLR. sizes.sh says how large, how many passes, and
# which of them decode.
#
# Usage: local/chain/gmm.sh [options] <data-dir> <exp-dir>
set -euo pipefail

. "$(dirname "$0")/../../path.sh"

nj=2
cmd=run.pl

. parse_options.sh
[ $# -eq 2 ] || usage
. ./path.sh
# shellcheck source=local/digits/conf/sizes.sh
. ./sizes.sh
data=$1
dir=$2

for part in train test; do
  once "$data/${part}_mfcc" "$UNSPEECH_ROOT/local/chain/features.sh" --nj "$nj" --cmd "$cmd" \
    "$data/$part" mfcc "$data/${part}_mfcc"
done
train=$data/train_mfcc test=$data/test_mfcc
to_train=(--cmd "$cmd" --boost-silence 1.25 "${gmm_passes[@]}")
to_align=(--nj "$(jobs_of "$train" "$nj")" --cmd "$cmd")
to_decode=(--nj "$(jobs_of "$test" "$nj")" --cmd "$cmd")

once "$dir/mono" steps/train_mono.sh --nj "$(jobs_of "$train" "$nj")" "${to_train[@]}" \
  --totgauss "$mono_gaussians" "$train" data/lang "$dir/mono"
once "$dir/mono_ali" steps/align_si.sh "${to_align[@]}" "$train" data/lang "$dir"/mono{,_ali}
once "$dir/tri1" steps/train_deltas.sh "${to_train[@]}" "$gmm_leaves" "$gaussians" \
  "$train" data/lang "$dir"/{mono_ali,tri1}
once "$dir/tri1_ali" steps/align_si.sh "${to_align[@]}" "$train" data/lang "$dir"/tri1{,_ali}
once "$dir/tri2" steps/train_lda_mllt.sh "${to_train[@]}" "$gmm_leaves" "$gaussians" \
  "$train" data/lang "$dir"/{tri1_ali,tri2}
once "$dir/tri2_ali" steps/align_si.sh "${to_align[@]}" "$train" data/lang "$dir"/tri2{,_ali}
once "$dir/tri3" steps/train_sat.sh "${to_train[@]}" "$gmm_leaves" "$gaussians" \
  "$train" data/lang "$dir"/{tri2_ali,tri3}
once "$dir/tri3_ali" steps/align_fmllr.sh "${to_align[@]}" "$train" data/lang "$dir"/tri3{,_ali}

for system in $decoded_gmms; do
  decode=(steps/decode.sh "${gmm_decode_options[@]}")
  [ "$system" != tri3 ] || decode=(steps/decode_fmllr.sh "${fmllr_decode_options[@]}")
  once "$dir/$system/graph" utils/mkgraph.sh data/lang "$dir/$system" "$dir/$system/graph"
  once "$dir/$system/decode" "${decode[@]}" "${to_decode[@]}" \
    "$dir/$system/graph" "$test" "$dir/$system/decode"
done
