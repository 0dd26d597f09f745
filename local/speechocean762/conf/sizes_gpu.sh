# Sizes as in Kaldi's own recipes (egs/mini_librispeech), for GPUs and a queue: local/chain/gmm.sh and
# network.sh use them with --gpu true. What is not said here is as in sizes.sh, which is read before.
# shellcheck shell=bash disable=SC2034

gmm_leaves=2500
gaussians=15000
decoded_gmms="mono tri1 tri2 tri3"

ubm_gaussians=512
model_minutes=120        # upper bound for a model of Unspeech with a network

chain_leaves=3500
network_dim=768
network_context="0 1 1 1 0 3 3 3 3 3 3 3"
network_l2=0.03
output_l2=0.015
lm_states=2000
chunk_width=140,100,160
egs_options="--num-utts-subset 300"
train_options=(
  --trainer.num-epochs 10 --trainer.frames-per-iter 3000000
  --trainer.num-chunk-per-minibatch "128,64"
  --trainer.optimization.num-jobs-initial 1 --trainer.optimization.num-jobs-final 2
  --trainer.optimization.initial-effective-lrate 0.002
  --trainer.optimization.final-effective-lrate 0.0002
)
decode_options=()
gmm_decode_options=()
fmllr_decode_options=()
