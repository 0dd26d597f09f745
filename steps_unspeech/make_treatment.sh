#!/usr/bin/env bash
# Keep in a model directory what the embeddings of its training corpus look like (treatment.npz), so
# that others can be centred, whitened and so on, without labels: by treat_embeddings.sh and by
# extract.sh --treatment.
#
# Usage: steps_unspeech/make_treatment.sh [options] <embedding-dir> <model-dir>
#  e.g.: steps_unspeech/make_treatment.sh --clusters exp/clusters_train exp/embeddings_train exp/model
set -euo pipefail

. "$(dirname "$0")/../path.sh"

cmd=run_local.py   # how the job is run; see cmd.sh
clusters=          # clusters directory of these embeddings; wccn needs it
seed=1             # of the sample of vectors, for corpora of more than 20,000 utterances [integer >= 0]
overwrite=false    # make it again, even if it was made otherwise

. parse_options.sh
[ $# -eq 2 ] || usage
model=$2

vectors=$(vectors_of "$1")
require_files "$model/final.ie.id" ${clusters:+"$clusters/utt2spk"}
begin_step "$model/treatment.npz" seed="$seed" -- "$vectors" "$model/final.ie.id" \
  ${clusters:+"$clusters/utt2spk"}

run_jobs "$model/log/treatment.log" \
  python3 -m unspeech.treatment make --embeddings "$vectors" --model "$model" --seed "$seed" \
  ${clusters:+--clusters "$clusters"}
finish_step "$model/treatment.npz"
