#!/usr/bin/env bash
# Make an i-vector directory of a data directory's features, for Kaldi's nnet3 scripts: one
# embedding every <period> frames in ivector_online.scp, ivector_period and final.ie.id.
#
# Usage: steps_unspeech/extract.sh [options] <data-dir> <model-dir> <ivector-dir>
#  e.g.: steps_unspeech/extract.sh --nj 4 data/dev_hires exp/model exp/ivectors_dev_hires
set -euo pipefail

. "$(dirname "$0")/../path.sh"

nj=1               # a job uses all cores of its machine
cmd=run_local.py   # how jobs are run; see cmd.sh
period=10          # frames from one row to the next
embed_opts=        # more options of the rows: "--genfeat-combine-contexts true"
overwrite=false    # make it again, even if it was made otherwise

. parse_options.sh
[ $# -eq 3 ] || usage
data=$1
model=$2
dir=$3

require_files "$model/final.ie.id" "$model/config.yaml"
feats=$(inputs_of "$data" "$model/config.yaml")
begin_step "$dir/ivector_online.scp" period="$period" embed_opts="$embed_opts" -- "$feats" "$model/final.ie.id"

read -ra more <<< "$embed_opts"
nj=$(split_scp "$feats" "$nj" "$dir/split")
split=$dir/split/$(basename "$feats" .scp).JOB.scp
$cmd JOB=1:"$nj" "$dir/log/extract.JOB.log" \
  once.py "$dir/ivector_online.scp" JOB "$split" \
  python3 -m unspeech.embed ivectors --feats "$split" --data "$data" --model "$model" \
  --period "$period" --ark "$dir/ivector_online.JOB.ark" "${more[@]}"

cp "$model/final.ie.id" "$dir/final.ie.id"
echo "$period" > "$dir/ivector_period"
join_jobs "$dir/ivector_online.JOB.scp" "$nj" "$dir/ivector_online.scp"
finish_step "$dir/ivector_online.scp"
