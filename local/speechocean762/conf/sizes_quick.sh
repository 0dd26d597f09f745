# Sizes for trials: networks a little smaller, trained for one pass.
# What is not said here is as in sizes.sh, which is read before.
# shellcheck shell=bash disable=SC2034

network_dim=160
train_options+=(--trainer.num-epochs 1)    # the last one counts
