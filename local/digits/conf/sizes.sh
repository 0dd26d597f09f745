# How large models are and how long they are trained, for an hour of digits with copies; half the
# passes that Kaldi makes by default are enough for GMMs. Sourced by local/chain.
# shellcheck shell=bash disable=SC2034

mono_gaussians=500
gmm_leaves=200
gaussians=1500
gmm_passes=(--num-iters 20 --max-iter-inc 15)
decoded_gmms="mono tri1 tri2 tri3"

copies=augment           # a handful of speakers is too few for a network, so there are other voices
augment_options=(--copies 1 --voices 3)
ubm_gaussians=64
ivector_dim=32
model_minutes=15         # upper bound for a model of Unspeech with a network

chain_leaves=150
network_dim=160
network_context="0 1 1 3 3 3"
network_l2=0.02
output_l2=0.01
lm_states=200
chunk_width=120,90,60
egs_options="--num-utts-subset 60"
train_options=(
  --trainer.num-epochs 2 --trainer.frames-per-iter 50000 --trainer.num-chunk-per-minibatch "32,16"
  --trainer.optimization.num-jobs-initial 2 --trainer.optimization.num-jobs-final 2
  --trainer.optimization.initial-effective-lrate 0.002
  --trainer.optimization.final-effective-lrate 0.0002
)
decode_options=()
gmm_decode_options=()
fmllr_decode_options=()
