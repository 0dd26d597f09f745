#!/usr/bin/env bash
# Score embeddings against the true speakers: scores.json, det.png, distances.png, tsne.png. Takes an
# .scp or .ark file in place of a directory, too.
#
# Usage: steps_unspeech/evaluate.sh [options] <embedding-or-ivector-dir> <utt2spk> <out-dir>
#  e.g.: steps_unspeech/evaluate.sh exp/embeddings_dev data/dev/utt2spk exp/eval_dev
set -euo pipefail

. "$(dirname "$0")/../path.sh"

cmd=run_local.py   # how the job is run; see cmd.sh
clusters=          # clusters directory, to score and to colour as well, corrected as listen.sh has
                   # left it
cohort=            # embedding directory to normalise scores with: of training speech, normalised alike
cohort_top=300     # how many of the cohort, the nearest ones, count for an utterance [integer >= 1]
metric=cosine      # euclidean: of the vectors as they are [cosine|euclidean]
normalize=false    # scale vectors to unit length with euclidean, too
half_index=-1      # use the values of each vector before this index; -1: all [integer >= -1]
max_spks=-1        # speakers to score, drawn at random; -1: all [integer >= -1]
random_seed=42     # of the choice of max_spks [integer >= 0]
seed=1             # of samples and of the t-SNE picture [integer >= 0]
overwrite=false    # score again, even if settings or inputs have changed

. parse_options.sh
[ $# -eq 3 ] || usage
utt2spk=$2
dir=$3

vectors=$(vectors_of "$1")
require_files "$utt2spk" ${clusters:+"$clusters/clusters.json"}
options=(--metric "$metric" --normalize "$normalize" --half-index "$half_index"
  --max-spks "$max_spks" --random-seed "$random_seed" --seed "$seed")
others=
if [ -n "$cohort" ]; then
  others=$(vectors_of "$cohort")
  options+=(--cohort-top "$cohort_top")
fi
found=()
[ -z "$clusters" ] ||
  add_existing found "$clusters"/{clusters.json,utt2spk,outliers,uncorrected,corrections.jsonl}
begin_step "$dir/scores.json" "${options[@]}" -- "$1" "$vectors" "$utt2spk" \
  "${found[@]}" ${others:+"$others"} -- \
  "$dir"/{det,distances,tsne}.png

run_jobs "$dir/log/evaluate.log" \
  python3 -m unspeech.evaluate --embeddings "$vectors" --utt2spk "$utt2spk" "${options[@]}" \
  ${clusters:+--clusters "$clusters"} ${others:+--cohort "$others"} --out "$dir"
require_files "$dir/scores.json"
finish_step "$dir/scores.json"
tied python3 -m unspeech.show_scores "$dir/scores.json"
