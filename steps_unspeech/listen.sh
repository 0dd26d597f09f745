#!/usr/bin/env bash
# Hear the speakers of a clustering on a page of this machine, and correct them. Prints the page's
# address; Control-C ends it. Corrections are kept in <clusters-dir>/corrections.jsonl, and cluster.sh,
# make_clustered_data_dir.sh and evaluate.sh take them into account. docs/listen.md shows the page.
#
# Usage: steps_unspeech/listen.sh [options] <data-dir> <embedding-or-ivector-dir> <clusters-dir>
#  e.g.: steps_unspeech/listen.sh data/dev exp/embeddings_dev exp/clusters_dev
# The clusters must have been made from these vectors, by cluster.sh.
set -euo pipefail

. "$(dirname "$0")/../path.sh"

port=0             # of this machine; 0: a free one [integer 0 to 65535]

. parse_options.sh
[ $# -eq 3 ] || usage
data=$1
clusters=$3

vectors=$(vectors_of "$2")
require_files "$data/wav.scp" "$clusters/utt2spk" "$clusters/clusters.json" \
  "$clusters/graph/vectors.npy" "$clusters/graph/utterances"
tied python3 -m unspeech.listen --data "$data" --embeddings "$vectors" --clusters "$clusters" \
  --port "$port"
