#!/usr/bin/env bash
# Train and test the recognisers of a list: GMMs, then chain TDNNs with what the list names beside
# their features. <data-dir>/true has train and test with their true speakers. Run from the work
# directory of a recipe (see local/speechocean762/run.sh), with conf/systems.tsv: a line for each
# recogniser, its speakers (true, none, clusters), mean (kept, removed, online) and rows (of rows.sh,
# or -).
#
# Usage: local/chain/experiment.sh [options] <data-dir> <exp-dir>
set -euo pipefail

. "$(dirname "$0")/../../path.sh"

stage=0            # 0: clusters  1: speakers and GMMs  2: rows  3: networks  4: none of it
                   # [integer 0 to 4]
nj=2
cmd=run.pl
gpu_cmd=           # how networks are trained; default: cmd
seed=1             # of Unspeech and of the first network of each line
networks=1         # to train for each line, with seeds from that one on
gpu=false
systems=conf/systems.tsv

. parse_options.sh
[ $# -eq 2 ] || usage
[ "$stage" -le 3 ] || exit 0
. ./path.sh
data=$1
dir=$2
here=$UNSPEECH_ROOT/local/chain
options=(--nj "$nj" --cmd "$cmd")

mapfile -t lines < <(grep -v '^ *\(#\|$\)' "$systems")
mapfile -t all_speakers < <(printf '%s\n' "${lines[@]}" | awk '!seen[$1]++ { print $1 }')
if [ "$stage" -le 0 ] && [[ " ${all_speakers[*]} " == *" clusters "* ]]; then
  once "$dir/unspeech" "$UNSPEECH_ROOT/run.sh" "${options[@]}" --seed "$seed" \
    --corpus "$data/true/train" --eval-corpus "$data/true/test" --dir "$dir/unspeech"
fi
for speakers in "${all_speakers[@]}"; do
  if [ "$stage" -le 1 ]; then
    [ "$speakers" = true ] || once "$data/$speakers" \
      "$here/speakers.sh" "$speakers" "$data" "$dir/unspeech"
    "$here/gmm.sh" "${options[@]}" "$data/$speakers" "$dir/$speakers"
  fi
  [ "$stage" -gt 2 ] ||
    "$here/copies.sh" "${options[@]}" --seed "$seed" "$data/$speakers"
done
for line in "${lines[@]}"; do
  read -r speakers mean rows <<< "$line"
  rows=${rows#-}
  if [ "$stage" -le 2 ] && [ -n "$rows" ]; then
    "$here/rows.sh" "${options[@]}" --seed "$seed" --models "$dir/models" \
      "$rows" "$data/$speakers" "$dir/$speakers"
  fi
  for ((network = seed; network < seed + networks; network++)); do
    "$here/network.sh" "${options[@]}" --gpu-cmd "$gpu_cmd" --gpu "$gpu" --seed "$network" \
      --mean "$mean" --rows "$rows" "$data/$speakers" "$dir/$speakers"
  done
done
