#!/usr/bin/env bash
# Assign new utterances to the clusters of an existing clustering, which does not change. Makes a
# clusters directory for the new ones, with a probability each. Those that fit nowhere are outliers.
#
# Usage: steps_unspeech/assign_clusters.sh [options] <embedding-or-ivector-dir> <clusters-dir> <new-clusters-dir>
#  e.g.: steps_unspeech/assign_clusters.sh exp/embeddings_new exp/clusters exp/clusters_new
set -euo pipefail

. "$(dirname "$0")/../path.sh"

cmd=run_local.py   # how the job is run; see cmd.sh
utt2spk=           # true speakers, for scores only
min_probability=0.0    # utterances with a lower probability are outliers [number 0 to 1]
outliers=own       # each is a speaker of its own, joins the nearest cluster, or is left out
                   # [own|nearest|leave-out]
overwrite=false    # assign again, even if settings or inputs have changed

. parse_options.sh
[ $# -eq 3 ] || usage
clusters=$2
dir=$3

vectors=$(vectors_of "$1")
require_files "$clusters/clusters.json" "$clusters/members.npz" ${utt2spk:+"$utt2spk"}
found=("$clusters"/{clusters.json,members.npz})
if [ -e "$clusters/corrections.jsonl" ]; then
  require_files "$clusters/utt2spk"
  found+=("$clusters"/{corrections.jsonl,outliers})
fi
options=(--min-probability "$min_probability" --outliers "$outliers")
begin_step "$dir/clusters.json" "${options[@]}" -- \
  "$1" "$vectors" "$clusters" "${found[@]}" ${utt2spk:+"$utt2spk"} -- \
  "$dir"/{utt2spk,spk2utt,outliers,probabilities,scores.json}

run_jobs "$dir/log/assign.log" \
  python3 -m unspeech.assign --embeddings "$vectors" --clusters "$clusters" "${options[@]}" \
  ${utt2spk:+--utt2spk "$utt2spk"} --out "$dir"
require_files "$dir/clusters.json"
[[ $outliers == leave-out || $vectors != *.scp ]] ||
  same_utterances "$dir/clusters.json" "$vectors" "$dir/utt2spk"
finish_step "$dir/clusters.json"
