#!/usr/bin/env bash
# Train a small chain TDNN on <data-dir>/train_aug and decode <data-dir>/test, with the features of
# copies.sh, less each speaker's mean. Alignments are by the GMMs of gmm.sh, in <exp-dir>. The network
# is <exp-dir>/tdnn, with i-vectors <exp-dir>/tdnn_<a name>.
#
# Usage: local/digits/chain.sh [options] <data-dir> <exp-dir>
set -euo pipefail

. "$(dirname "$0")/../../path.sh"

nj=2
cmd=run.pl
seed=1
ivectors=          # directory of i-vector directories train_aug and test

. parse_options.sh
[ $# -eq 2 ] || usage
. ./path.sh
data=$1
dir=$2
case $ivectors in
  "") tdnn=$dir/tdnn ;;
  */unspeech/*) tdnn=$dir/tdnn_unspeech ;;
  *) tdnn=$dir/tdnn_ivectors ;;
esac

once "$dir/lats" steps/align_fmllr_lats.sh --nj "$nj" --cmd "$cmd" \
  "$data/train_aug_mfcc" data/lang "$dir/tri3" "$dir/lats"
once "$dir/tree" steps/nnet3/chain/build_tree.sh --frame-subsampling-factor 3 --cmd "$cmd" \
  --context-opts "--context-width=2 --central-position=1" \
  150 "$data/train_mfcc" data/lang_chain "$dir/tri3_ali" "$dir/tree"
once "$dir/tree/graph" utils/mkgraph.sh --self-loop-scale 1.0 \
  data/lang "$dir/tree" "$dir/tree/graph"

input="" lda_input="Append(-1,0,1)" adapted_train=() adapted_test=()
if [ -n "$ivectors" ]; then
  input="input name=ivector dim=$(feat-to-dim "scp:$ivectors/train_aug/ivector_online.scp" -)"
  lda_input="Append(-1,0,1,ReplaceIndex(ivector, t, 0))"
  adapted_train=(--feat.online-ivector-dir "$ivectors/train_aug")
  adapted_test=(--online-ivector-dir "$ivectors/test")
fi
pdfs=$(tree-info "$dir/tree/tree" 2> /dev/null | awk '$1 == "num-pdfs" { print $2 }')
mkdir -p "$tdnn/configs"
cat > "$tdnn/configs/network.xconfig" << END
$input
input name=input dim=40
fixed-affine-layer name=lda input=$lda_input affine-transform-file=$tdnn/configs/lda.mat
relu-batchnorm-layer name=tdnn1 dim=160 l2-regularize=0.02
relu-batchnorm-layer name=tdnn2 dim=160 l2-regularize=0.02 input=Append(-1,0,1)
relu-batchnorm-layer name=tdnn3 dim=160 l2-regularize=0.02 input=Append(-1,0,1)
relu-batchnorm-layer name=tdnn4 dim=160 l2-regularize=0.02 input=Append(-3,0,3)
relu-batchnorm-layer name=tdnn5 dim=160 l2-regularize=0.02 input=Append(-3,0,3)
relu-batchnorm-layer name=tdnn6 dim=160 l2-regularize=0.02 input=Append(-3,0,3)
relu-batchnorm-layer name=chain input=tdnn6 dim=160 target-rms=0.5 l2-regularize=0.02
output-layer name=output include-log-softmax=false dim=$pdfs l2-regularize=0.01
relu-batchnorm-layer name=xent input=tdnn6 dim=160 target-rms=0.5 l2-regularize=0.02
output-layer name=output-xent learning-rate-factor=5.0 dim=$pdfs l2-regularize=0.01
END
once "$tdnn/configs" steps/nnet3/xconfig_to_configs.py \
  --xconfig-file "$tdnn/configs/network.xconfig" --config-dir "$tdnn/configs"
once "$tdnn" steps/nnet3/chain/train.py --stage -10 --cmd "$cmd" --use-gpu no \
  "${adapted_train[@]}" --feat.cmvn-opts="--norm-means=true --norm-vars=false" \
  --chain.xent-regularize 0.1 --chain.leaky-hmm-coefficient 0.1 --chain.l2-regularize 0.0 \
  --chain.apply-deriv-weights false --chain.lm-opts=--num-extra-lm-states=200 \
  --egs.chunk-width 120,90,60 --egs.opts="--frames-overlap-per-eg 0 --num-utts-subset 60" \
  --trainer.srand "$seed" --trainer.num-epochs 2 --trainer.frames-per-iter 50000 \
  --trainer.num-chunk-per-minibatch 32,16 --trainer.max-param-change 2.0 \
  --trainer.optimization.num-jobs-initial 2 --trainer.optimization.num-jobs-final 2 \
  --trainer.optimization.initial-effective-lrate 0.002 \
  --trainer.optimization.final-effective-lrate 0.0002 --cleanup.remove-egs true \
  --feat-dir "$data/train_aug_hires" --tree-dir "$dir/tree" --lat-dir "$dir/lats" --dir "$tdnn"
once "$tdnn/decode" steps/nnet3/decode.sh --nj "$(jobs_of "$data/test_hires" "$nj")" --cmd "$cmd" \
  --acwt 1.0 --post-decode-acwt 10.0 --frames-per-chunk 120 "${adapted_test[@]}" \
  "$dir/tree/graph" "$data/test_hires" "$tdnn/decode"
