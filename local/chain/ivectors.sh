#!/usr/bin/env bash
# Train Kaldi's i-vector extractor on <data-dir>/train_aug_hires (of copies.sh), and leave i-vectors
# of both parts in <exp-dir>/rows/ivectors/{train_aug,test}. As in Kaldi's recipes, two utterances
# of a speaker share statistics in training, all in the test.
#
# Usage: local/chain/ivectors.sh [options] <data-dir> <exp-dir>
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
dir=$2/rows/ivectors

train=$data/train_aug_hires test=$data/test_hires
jobs=(--nj "$(jobs_of "$train" "$nj")" --cmd "$cmd")
once "$dir/pca" steps/online/nnet2/get_pca_transform.sh --cmd "$cmd" \
  --splice-opts "--left-context=3 --right-context=3" --max-utts 10000 --subsample 2 \
  "$train" "$dir/pca"
once "$dir/ubm" steps/online/nnet2/train_diag_ubm.sh "${jobs[@]}" --num-threads 2 \
  "$train" "$ubm_gaussians" "$dir/pca" "$dir/ubm"
once "$dir/extractor" steps/online/nnet2/train_ivector_extractor.sh "${jobs[@]}" \
  --num-processes 1 --num-threads 1 --ivector-dim "$ivector_dim" "$train" "$dir"/{ubm,extractor}
once "${train}_max2" utils/data/modify_speaker_info.sh --utts-per-spk-max 2 "$train" "${train}_max2"
once "$dir/train_aug" steps/online/nnet2/extract_ivectors_online.sh --nj "$nj" --cmd "$cmd" \
  "${train}_max2" "$dir/extractor" "$dir/train_aug"
once "$dir/test" steps/online/nnet2/extract_ivectors_online.sh --cmd "$cmd" \
  --nj "$(jobs_of "$test" "$nj")" "$test" "$dir/extractor" "$dir/test"
