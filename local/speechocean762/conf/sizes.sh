# How large models are and how long they are trained: for two cores, a network in under 40 minutes.
# Sourced by local/chain; sizes_gpu.sh has the sizes of Kaldi's own recipes.
# shellcheck shell=bash disable=SC2034

mono_gaussians=1000
gmm_leaves=2000
gaussians=12000
gmm_passes=()
decoded_gmms="tri3"

copies=speeds
ubm_gaussians=256
ivector_dim=100
model_minutes=15         # upper bound for a model of Unspeech with a network

chain_leaves=1200
network_dim=192
network_context="0 1 1 3 3 3 3"
network_l2=0.02
output_l2=0.01
lm_states=200
chunk_width=140,100,60
egs_options="--num-utts-subset 150"
train_options=(
  --trainer.num-epochs 2 --trainer.frames-per-iter 500000 --trainer.num-chunk-per-minibatch "64,32"
  --trainer.optimization.num-jobs-initial 2 --trainer.optimization.num-jobs-final 2
  --trainer.optimization.initial-effective-lrate 0.002
  --trainer.optimization.final-effective-lrate 0.0002
)
# Narrower than Kaldi's beams; with networks a sixth of their time.
decode_options=(--beam 11 --max-active 2000 --lattice-beam 6)
gmm_decode_options=(--beam 10 --max-active 2000 --lattice-beam 5)
fmllr_decode_options=("${gmm_decode_options[@]}" --first-beam 8 --first-max-active 700)
