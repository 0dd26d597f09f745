#!/usr/bin/env bash
# Score embeddings against gold speakers: scores.json, det.png, distances.png, tsne.png.
#
# Usage: steps_unspeech/evaluate.sh [options] <embedding-or-ivector-dir> <utt2spk> <out-dir>
#  e.g.: steps_unspeech/evaluate.sh exp/embeddings_dev data/dev/utt2spk exp/eval_dev
set -euo pipefail

. "$(dirname "$0")/../path.sh"

cmd=run_local.py   # how the job is run; see cmd.sh
clusters=          # clusters directory, to score and to colour as well
cohort=            # embedding directory to normalise scores with: of training speech, treated alike
cohort_top=300     # how many of the cohort count for an utterance, the nearest ones
seed=1             # of the t-SNE picture
overwrite=false    # score again, even if it was done otherwise

. parse_options.sh
[ $# -eq 3 ] || usage
utt2spk=$2
dir=$3

vectors=$(vectors_of "$1")
require_files "$utt2spk" ${clusters:+"$clusters/clusters.json"}
options=(seed="$seed") normalise=()
if [ -n "$cohort" ]; then
  others=$(vectors_of "$cohort")
  options+=(cohort="md5:$(file_key "$others")" cohort_top="$cohort_top")
  normalise=(--cohort "$others" --cohort-top "$cohort_top")
fi
begin_step "$dir/scores.json" "${options[@]}" -- "$vectors" "$utt2spk" \
  ${clusters:+"$clusters/clusters.json"}

$cmd "$dir/log/evaluate.log" \
  python3 -m unspeech.evaluate --embeddings "$vectors" --utt2spk "$utt2spk" \
  ${clusters:+--clusters "$clusters"} "${normalise[@]}" --seed "$seed" --out "$dir"
require_files "$dir/scores.json"
finish_step "$dir/scores.json"
