#!/usr/bin/env bash
# Describe the utterances of a data directory without a model: mean and deviation of each dimension
# of the features, one vector an utterance, in embedding.scp. For join_statistics.sh.
#
# Usage: steps_unspeech/describe_utterances.sh [options] <data-dir> <statistics-dir>
#  e.g.: steps_unspeech/describe_utterances.sh data/dev exp/statistics_dev
set -euo pipefail

. "$(dirname "$0")/../path.sh"

nj=1               # jobs [integer 1 to 9999]
cmd=run_local.py   # how jobs are run; see cmd.sh
overwrite=false    # make them again, even if they were made otherwise

. parse_options.sh
[ $# -eq 2 ] || usage
dir=$2

feats=$(feats_of "$1")
begin_step "$dir/embedding.scp" -- "$feats"

nj=$(split_scp "$feats" "$nj" "$dir/split")
split=$dir/split/$(basename "$feats" .scp).JOB.scp
run_jobs JOB=1:"$nj" "$dir/log/describe.JOB.log" \
  once.py "$dir/embedding.scp" JOB "$split" \
  python3 -m unspeech.statistics describe --feats "$split" --ark "$dir/split/embedding.JOB.ark"

join_jobs "$dir/split/embedding.JOB.scp" "$nj" "$dir/embedding.scp" "$dir/embedding.ark"
finish_step "$dir/embedding.scp"
