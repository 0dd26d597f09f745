#!/usr/bin/env bash
# Score embeddings against gold speakers: scores.json, det.png, distances.png, tsne.png.
#
# Usage: steps_unspeech/evaluate.sh [options] <embedding-or-ivector-dir> <utt2spk> <out-dir>
#  e.g.: steps_unspeech/evaluate.sh exp/embeddings_dev data/dev/utt2spk exp/eval_dev
set -euo pipefail

. "$(dirname "$0")/../path.sh"

cmd=run_local.py   # how the job is run; see cmd.sh
clusters=          # clusters directory, to score and to colour as well
seed=1             # of the t-SNE picture
overwrite=false    # score again, even if it was done otherwise

. parse_options.sh
[ $# -eq 3 ] || usage
utt2spk=$2
dir=$3

vectors=$(vectors_of "$1")
require_files "$utt2spk" ${clusters:+"$clusters/clusters.json"}
begin_step "$dir/scores.json" seed="$seed" -- "$vectors" "$utt2spk" \
  ${clusters:+"$clusters/clusters.json"}

$cmd "$dir/log/evaluate.log" \
  python3 -m unspeech.evaluate --embeddings "$vectors" --utt2spk "$utt2spk" \
  ${clusters:+--clusters "$clusters"} --seed "$seed" --out "$dir"
require_files "$dir/scores.json"
finish_step "$dir/scores.json"
