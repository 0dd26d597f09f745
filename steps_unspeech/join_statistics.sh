#!/usr/bin/env bash
# Put what describe_utterances.sh found beside embeddings of the same utterances: centred on their
# own mean, whitened by the statistics of the training corpus. The new vectors, of unit length, tell
# speakers apart better than either does alone.
#
# Usage: steps_unspeech/join_statistics.sh [options] <embedding-dir> <statistics-dir> \
#          <statistics-dir-of-training-corpus> <new-embedding-dir>
#  e.g.: steps_unspeech/join_statistics.sh exp/embeddings_dev_treated exp/statistics_dev \
#          exp/statistics_train exp/embeddings_dev_joined
set -euo pipefail

. "$(dirname "$0")/../path.sh"

cmd=run_local.py   # how the job is run; see cmd.sh
weight=1.4         # of the statistics, where that of the embeddings is 1 [number >= 0]
seed=1             # of the sample of the training corpus, for more than 20,000 utterances [integer >= 0]
overwrite=false    # make them again, even if they were made otherwise

. parse_options.sh
[ $# -eq 4 ] || usage
dir=$4

vectors=$(vectors_of "$1")
statistics=$(vectors_of "$2")
background=$(vectors_of "$3")
begin_step "$dir/embedding.scp" weight="$weight" seed="$seed" \
  background="md5:$(file_key "$background")" statistics="md5:$(file_key "$statistics")" \
  -- "$vectors"

run_jobs "$dir/log/join.log" \
  python3 -m unspeech.statistics join --embeddings "$vectors" --statistics "$statistics" \
  --background "$background" --weight "$weight" --seed "$seed" --ark "$dir/embedding.ark"
finish_step "$dir/embedding.scp"
