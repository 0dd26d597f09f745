#!/usr/bin/env bash
# Adapt a model to another corpus, without labels: solve its head again, with the mean of the
# utterances and the covariance within the recordings of this corpus. Then in rounds: cluster the
# utterances, and solve again with the covariance within clusters, until the clusters stay the same.
#
# Usage: steps_unspeech/adapt.sh [options] <data-dir> <model-dir> <new-model-dir>
#  e.g.: steps_unspeech/adapt.sh --nj 4 data/dev exp/model exp/model_dev
# The clusters of each round are in <new-model-dir>/rounds. docs/head.md explains what is solved.
set -euo pipefail

. "$(dirname "$0")/../path.sh"

nj=1               # jobs [integer 1 to 9999]
cmd=run_local.py   # how jobs are run; see cmd.sh
weight=1.5         # of the covariance within recordings of this corpus; that of training has 1.
                   # 0: take only the mean of this corpus, with --rounds 0 --embedding-size 0
                   # [number >= 0]
rounds=3           # of clustering and solving again, at most; 0: do not cluster [integer 0 to 99]
agreement=0.95     # adjusted Rand index of the clusters of two rounds at which to stop
                   # [number 0 to 1]
embedding_size=100 # dimension of the embedding at most: the directions in which utterances of this
                   # corpus differ most; 0: all [integer >= 0]
seed=1             # of clustering [integer >= 0]
overwrite=false    # solve again, even if settings or inputs have changed

. parse_options.sh
[ $# -eq 3 ] || usage
data=$1
model=$(model_of "$2")
new=$3

require_files "$model/final.ie.id" "$model/config.yaml"
sets_true solve_head "$model/config.yaml" || die "$model: its head was trained and not solved;" \
  "train it with --train-opts '--solve-head true'"
feats=$(inputs_of "$data" "$model/config.yaml")
tables=("$feats")
add_existing tables "$data"/{segments,utt2uniq}
add_channels tables "$feats" "$data"
begin_step "$new/final.ie.id" weight="$weight" rounds="$rounds" agreement="$agreement" \
  embedding_size="$embedding_size" seed="$seed" -- \
  "$data" "$model" "${tables[@]}" "$model/final.ie.id" -- "$new"/{config.yaml,model.weights.h5}

work=$new/contexts
pool_contexts "$new/final.ie.id" "$data" "$feats" "$model" "$work"

# solve <model> [<clusters>]: solve the head for this corpus.
solve() {
  run_jobs "$1/log/solve.log" python3 -m unspeech.solve head --model "$model" --sums "${sums[@]}" \
    --weight "$weight" --embedding-size "$embedding_size" \
    ${2:+--values "$work/values.scp" --clusters "$2"} --out "$1"
}

count=$(wc -l < "$work/values.scp")
if [ "$rounds" -gt 0 ] && [ "$count" -lt 5 ]; then
  echo "$count utterances are too few to be clustered: no rounds"
  rounds=0
fi
# Small clusters are purer, and a speaker in two of them does no harm here.
clustering=(--cluster-selection-method leaf --min-samples 1 --outliers nearest)
before=
rm -rf "$new/rounds"    # of another call
for ((round = 1; round <= rounds; round++)); do
  dir=$new/rounds/$round
  solve "$dir/model" ${before:+"$before"}
  run_jobs "$dir/log/embed.log" python3 -m unspeech.solve embed --model "$dir/model" \
    --values "$work/values.scp" --ark "$dir/embedding.ark"
  gold=(${before:+--utt2spk "$before/utt2spk"})
  "$UNSPEECH_ROOT/steps_unspeech/cluster.sh" --nj "$nj" --cmd "$cmd" --seed "$seed" \
    "${clustering[@]}" "${gold[@]}" --overwrite true "$dir/embedding.scp" "$dir/clusters" \
    > "$dir/log/clusters.log"
  echo "Round $round: $(awk -F '[:,]' '/"clusters"/ { print $2 + 0; exit }' \
    "$dir/clusters/clusters.json") clusters"
  if [ -n "$before" ]; then
    ari=$(awk -F '[:,]' '/"ari"/ { print $2 + 0 }' "$dir/clusters/scores.json")
    echo "Round $round clusters as the one before with an adjusted Rand index of $ari"
    ! awk -v a="$ari" -v b="$agreement" 'BEGIN { exit !(a >= b) }' || round=$rounds
  fi
  before=$dir/clusters
done
solve "$new" ${before:+"$before"}
sed -n "s|^Summary: |$new: |p" "$new/log/solve.log"
require_files "$new/model.weights.h5" "$new/final.ie.id"
finish_step "$new/final.ie.id"
rm -rf "$work" "$new"/rounds/*/embedding.*
