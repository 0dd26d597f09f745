# Sizes for trials: networks a little smaller, trained for one pass, and GMMs that only align.
# Sourced by local/chain; what is not said here is as in sizes.sh.
# shellcheck shell=bash disable=SC2034

# shellcheck source=local/speechocean762/conf/sizes.sh
. conf/sizes.sh
decoded_gmms=
network_dim=160
train_options+=(--trainer.num-epochs 1)    # the last one counts
