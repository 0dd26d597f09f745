#!/usr/bin/env bash
# Embed the utterances of a data directory: one vector of unit length each, in embedding.scp.
#
# Usage: steps_unspeech/embed_utterances.sh [options] <data-dir> <model-dir> <embedding-dir>
#  e.g.: steps_unspeech/embed_utterances.sh data/dev exp/model exp/embeddings_dev
set -euo pipefail

. "$(dirname "$0")/../path.sh"

nj=1               # jobs; each of a network uses all cores [integer 1 to 9999]
cmd=run_local.py   # how jobs are run; see cmd.sh
use_gpu=false      # ask for a GPU for each job
overwrite=false    # make them again, even if settings or inputs have changed

. parse_options.sh
[ $# -eq 3 ] || usage
data=$1
model=$(model_of "$2")
dir=$3

require_files "$model/final.ie.id" "$model/config.yaml"
feats=$(inputs_of "$data" "$model/config.yaml")
inputs=("$feats" "$model/final.ie.id")
add_channels inputs "$feats" "$data"
begin_step "$dir/embedding.scp" -- "$data" "$model" "${inputs[@]}" -- \
  "$dir/embedding.ark"

mkdir -p "$dir/split"
feats=$(scp_of "$feats" "$dir/split")
nj=$(split_scp "$feats" "$nj" "$dir/split")
split=$dir/split/$(basename "$feats" .scp).JOB.scp
! $use_gpu || cmd+=" --gpu 1"
run_jobs JOB=1:"$nj" "$dir/log/embed.JOB.log" \
  once.py "$dir/embedding.scp" JOB "$split" --leaves "$dir/split/embedding.JOB.ark" \
  python3 -m unspeech.embed utterances --feats "$split" --data "$data" --model "$model" \
  --ark "$dir/split/embedding.JOB.ark"

join_jobs "$dir/split/embedding.JOB.scp" "$nj" "$dir/embedding.scp" "$dir/embedding.ark"
same_utterances "$dir/embedding.scp" "$feats" "$dir/embedding.scp"
finish_step "$dir/embedding.scp"
rm -f "$dir"/split/*.ark
