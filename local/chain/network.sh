#!/usr/bin/env bash
# Train a chain TDNN on <data-dir>/train_aug_hires and decode <data-dir>/test_hires, with rows of
# <exp-dir>/rows beside the features, or without. Alignments are by the GMMs of gmm.sh, in <exp-dir>.
# The network is <exp-dir>/tdnn_<mean>_seed<seed>, with rows <exp-dir>/tdnn_<mean>_<rows>_seed<seed>.
#
# Usage: local/chain/network.sh [options] <data-dir> <exp-dir>
set -euo pipefail

. "$(dirname "$0")/../../path.sh"

nj=2
cmd=run.pl
gpu_cmd=           # how training on GPUs is run; default: cmd
seed=1
gpu=false          # train on GPUs
mean=kept          # the speaker's mean is part of the features, or removed from them: that of all
                   # frames, or online, of those so far [kept|removed|online]
rows=              # name of a directory in <exp-dir>/rows

. parse_options.sh
[ $# -eq 2 ] || usage
. ./path.sh
# shellcheck source=local/digits/conf/sizes.sh
. ./sizes.sh
data=$1
dir=$2
tdnn=$dir/tdnn_$mean${rows:+_$rows}_seed$seed

once "$dir/lats" steps/align_fmllr_lats.sh --nj "$(jobs_of "$data/train_aug_mfcc" "$nj")" \
  --cmd "$cmd" "$data/train_aug_mfcc" data/lang "$dir/tri3" "$dir/lats"
once "$dir/tree" steps/nnet3/chain/build_tree.sh --frame-subsampling-factor 3 --cmd "$cmd" \
  --context-opts "--context-width=2 --central-position=1" \
  "$chain_leaves" "$data/train_mfcc" data/lang_chain "$dir/tri3_ali" "$dir/tree"
once "$dir/tree/graph" utils/mkgraph.sh --self-loop-scale 1.0 \
  data/lang "$dir/tree" "$dir/tree/graph"

input="" lda_input="Append(-1,0,1)" adapted_train=() adapted_test=()
if [ -n "$rows" ]; then
  input="input name=ivector dim=$(feat-to-dim "scp:$dir/rows/$rows/test/ivector_online.scp" -)"
  lda_input="Append(-1,0,1,ReplaceIndex(ivector, t, 0))"
  adapted_train=(--feat.online-ivector-dir "$dir/rows/$rows/train_aug")
  adapted_test=(--online-ivector-dir "$dir/rows/$rows/test")
fi
case $mean in
  kept) cmvn="--norm-means=false --norm-vars=false" ;;
  removed) cmvn="--norm-means=true --norm-vars=false" ;;
  online) cmvn="--config=conf/online_cmvn.conf" egs_options+=" --online-cmvn true" ;;
esac
use_gpu='no' train_on=$cmd
if $gpu; then use_gpu='wait' train_on=${gpu_cmd:-$cmd}; fi
pdfs=$(tree-info "$dir/tree/tree" 2> /dev/null | awk '$1 == "num-pdfs" { print $2 }')
mkdir -p "$tdnn/configs"
{
  cat << END
$input
input name=input dim=40
fixed-affine-layer name=lda input=$lda_input affine-transform-file=$tdnn/configs/lda.mat
END
  layer=0
  for reach in $network_context; do    # each layer sees frames so far before and after
    layer=$((layer + 1)) spliced=""
    [ "$reach" -eq 0 ] || spliced="input=Append(-$reach,0,$reach)"
    echo "relu-batchnorm-layer name=tdnn$layer dim=$network_dim l2-regularize=$network_l2 $spliced"
  done
  for output in chain xent; do
    name=output-xent options="learning-rate-factor=5.0"
    [ $output = xent ] || name=output options="include-log-softmax=false"
    cat << END
relu-batchnorm-layer name=$output input=tdnn$layer dim=$network_dim target-rms=0.5 l2-regularize=$network_l2
output-layer name=$name $options dim=$pdfs l2-regularize=$output_l2
END
  done
} > "$tdnn/configs/network.xconfig"
once "$tdnn/configs" steps/nnet3/xconfig_to_configs.py \
  --xconfig-file "$tdnn/configs/network.xconfig" --config-dir "$tdnn/configs"
once "$tdnn" steps/nnet3/chain/train.py --stage -10 --cmd "$train_on" --use-gpu "$use_gpu" \
  --egs.cmd "$cmd" \
  "${adapted_train[@]}" --feat.cmvn-opts="$cmvn" \
  --chain.xent-regularize 0.1 --chain.leaky-hmm-coefficient 0.1 --chain.l2-regularize 0.0 \
  --chain.apply-deriv-weights false --chain.lm-opts="--num-extra-lm-states=$lm_states" \
  --egs.chunk-width "$chunk_width" --egs.opts="--frames-overlap-per-eg 0 $egs_options" \
  --trainer.srand "$seed" --trainer.max-param-change 2.0 "${train_options[@]}" \
  --cleanup.remove-egs true \
  --feat-dir "$data/train_aug_hires" --tree-dir "$dir/tree" --lat-dir "$dir/lats" --dir "$tdnn"
once "$tdnn/decode" steps/nnet3/decode.sh --nj "$(jobs_of "$data/test_hires" "$nj")" --cmd "$cmd" \
  --acwt 1.0 --post-decode-acwt 10.0 --frames-per-chunk "${chunk_width%%,*}" \
  "${decode_options[@]}" "${adapted_test[@]}" "$dir/tree/graph" "$data/test_hires" "$tdnn/decode"
