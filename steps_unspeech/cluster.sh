#!/usr/bin/env bash
# Cluster utterances into speakers, without labels: utt2spk, spk2utt, clusters.json, and scores.json
# with gold speakers. Matrices, such as i-vectors over time, are averaged.
#
# Usage: steps_unspeech/cluster.sh [options] <embedding-or-ivector-dir> <clusters-dir>
#  e.g.: steps_unspeech/cluster.sh --utt2spk data/dev/utt2spk exp/embeddings_dev exp/clusters_dev
set -euo pipefail

. "$(dirname "$0")/../path.sh"

cmd=run_local.py   # how the job is run; see cmd.sh
utt2spk=           # gold speakers, for scores only
min_cluster_size=  # utterances that make a cluster; default: the program's
min_samples=       # neighbours of an utterance in a dense region; default: the program's
overwrite=false    # cluster again, even if it was done otherwise

. parse_options.sh
[ $# -eq 2 ] || usage
dir=$2

vectors=$(vectors_of "$1")
[ -z "$utt2spk" ] || require_files "$utt2spk"
begin_step "$dir/clusters.json" min_cluster_size="$min_cluster_size" \
  min_samples="$min_samples" -- "$vectors" ${utt2spk:+"$utt2spk"}

settings=()
[ -z "$min_cluster_size" ] || settings+=(--min-cluster-size "$min_cluster_size")
[ -z "$min_samples" ] || settings+=(--min-samples "$min_samples")
[ -z "$utt2spk" ] || settings+=(--utt2spk "$utt2spk")
$cmd "$dir/log/cluster.log" \
  python3 -m unspeech.cluster --embeddings "$vectors" "${settings[@]}" --out "$dir"
require_files "$dir/utt2spk" "$dir/spk2utt" "$dir/clusters.json"
finish_step "$dir/clusters.json"
