#!/usr/bin/env bash
# Treat the vectors of utterances in a row of ways that were learnt from the training corpus without
# labels: center, whiten, pca (pca:50 keeps 50 axes), length, wccn. Vectors are of unit length before
# and after.
#
# Usage: steps_unspeech/treat_embeddings.sh [options] <embedding-dir> <model-dir> <new-embedding-dir>
#  e.g.: steps_unspeech/treat_embeddings.sh --treatment center,whiten,length,wccn exp/embeddings_dev \
#          exp/model exp/embeddings_dev_treated
set -euo pipefail

. "$(dirname "$0")/../path.sh"

cmd=run_local.py   # how the job is run; see cmd.sh
treatment=center,whiten,length    # what is done, in this order
domain_embeddings= # center on the mean of these, not treated: those of new speech, the same or more
overwrite=false    # make them again, even if they were made otherwise

. parse_options.sh
[ $# -eq 3 ] || usage
model=$2
dir=$3

vectors=$(vectors_of "$1")
domain=
[ -z "$domain_embeddings" ] || domain=$(vectors_of "$domain_embeddings")
require_files "$model/treatment.npz"
begin_step "$dir/embedding.scp" treatment="$treatment" \
  domain_embeddings="${domain:+md5:$(file_key "$domain")}" -- "$vectors" "$model/treatment.npz"

run_jobs "$dir/log/treat.log" \
  python3 -m unspeech.treatment apply --embeddings "$vectors" --model "$model" \
  --treatment "$treatment" ${domain:+--domain-embeddings "$domain"} --ark "$dir/embedding.ark"
finish_step "$dir/embedding.scp"
