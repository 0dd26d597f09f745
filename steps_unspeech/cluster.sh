#!/usr/bin/env bash
# Cluster utterances into speakers, without labels: utt2spk, spk2utt, clusters.json, and scores.json
# with gold speakers. Matrices, such as i-vectors over time, are averaged. The graph of nearest
# neighbours is kept in <clusters-dir>/graph, and not made again for other settings.
#
# Usage: steps_unspeech/cluster.sh [options] <embedding-or-ivector-dir> <clusters-dir>
#  e.g.: steps_unspeech/cluster.sh --utt2spk data/dev/utt2spk exp/embeddings_dev exp/clusters_dev
set -euo pipefail

. "$(dirname "$0")/../path.sh"

nj=1               # jobs that share the search for neighbours, for millions of utterances
cmd=run_local.py   # how jobs are run; see cmd.sh
utt2spk=           # gold speakers, for scores only
min_cluster_size=  # utterances that make a cluster; default: the program's
min_samples=       # neighbours of an utterance in a dense region; default: the program's
cluster_selection_method=eom    # the most stable clusters, or the smallest: leaf
cluster_selection_epsilon=0.0   # distance below which clusters are not split
metric=cosine      # or euclidean, on vectors as they are
algorithm=auto     # exact, approximate, or by the number of utterances
outliers=own       # a speaker each; or nearest: the nearest cluster; or leave-out
seed=1
overwrite=false    # cluster again, even if it was done otherwise

. parse_options.sh
[ $# -eq 2 ] || usage
dir=$2

vectors=$(vectors_of "$1")
[ -z "$utt2spk" ] || require_files "$utt2spk"
begin_step "$dir/clusters.json" min_cluster_size="$min_cluster_size" \
  min_samples="$min_samples" cluster_selection_method="$cluster_selection_method" \
  cluster_selection_epsilon="$cluster_selection_epsilon" metric="$metric" \
  algorithm="$algorithm" outliers="$outliers" seed="$seed" -- "$vectors" ${utt2spk:+"$utt2spk"}

if [ "$nj" -gt 1 ]; then
  samples=(${min_samples:+--min-samples "$min_samples"})
  $cmd "$dir/log/index.log" \
    python3 -m unspeech.neighbours index --embeddings "$vectors" --graph "$dir/graph" \
    --metric "$metric" --seed "$seed"
  $cmd JOB=1:"$nj" "$dir/log/neighbours.JOB.log" \
    python3 -m unspeech.neighbours search --graph "$dir/graph" --job JOB --jobs "$nj" \
    "${samples[@]}"
fi

settings=(--cluster-selection-method "$cluster_selection_method" --metric "$metric" --seed "$seed"
  --cluster-selection-epsilon "$cluster_selection_epsilon" --algorithm "$algorithm"
  --outliers "$outliers")
[ -z "$min_cluster_size" ] || settings+=(--min-cluster-size "$min_cluster_size")
[ -z "$min_samples" ] || settings+=(--min-samples "$min_samples")
[ -z "$utt2spk" ] || settings+=(--utt2spk "$utt2spk")
$cmd "$dir/log/cluster.log" \
  python3 -m unspeech.cluster --embeddings "$vectors" "${settings[@]}" --out "$dir"
require_files "$dir/utt2spk" "$dir/spk2utt" "$dir/clusters.json"
finish_step "$dir/clusters.json"
