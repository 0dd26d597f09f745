#!/usr/bin/env bash
# Cluster utterances into speakers, without labels: utt2spk, spk2utt, clusters.json, and scores.json
# with gold speakers. Matrices, such as i-vectors over time, are averaged. An .scp or .ark file
# serves in place of a directory. The graph of nearest neighbours is kept in <clusters-dir>/graph,
# and not made again for other settings.
#
# Usage: steps_unspeech/cluster.sh [options] <embedding-or-ivector-dir> <clusters-dir>
#  e.g.: steps_unspeech/cluster.sh --utt2spk data/dev/utt2spk exp/embeddings_dev exp/clusters_dev
set -euo pipefail

. "$(dirname "$0")/../path.sh"

nj=1               # jobs that share the search for neighbours, for millions of utterances
cmd=run_local.py   # how jobs are run; see cmd.sh
utt2spk=           # gold speakers, for scores only
data=              # data directory of the utterances: copies of others (utt2uniq, sp0.9-…) are not
                   # clustered; make_clustered_data_dir.sh gives them the cluster of the original
cluster_algorithm=HDBSCAN       # or DBSCAN, kmeans
dbscan_eps=0.05    # for DBSCAN: distance of neighbours
n_clusters=42      # for kmeans
min_cluster_size=5 # utterances that make a cluster of HDBSCAN
min_samples=2      # neighbours of an utterance in a dense place
cluster_selection_method=eom    # the most stable clusters, or the smallest: leaf
cluster_selection_epsilon=0.0   # distance below which clusters are not split
metric=cosine      # or euclidean, cityblock, chebyshev, on vectors as they are
normalize=false    # scale vectors to unit length with those, too
half_index=-1      # take of each vector the values from this index on; -1: all
algorithm=auto     # exact, approximate, or by the number of utterances
outliers=own       # a speaker each; or nearest: the nearest cluster; or leave-out
seed=1
overwrite=false    # cluster again, even if it was done otherwise

. parse_options.sh
[ $# -eq 2 ] || usage
dir=$2

vectors=$(vectors_of "$1")
[ "$utt2spk" != none ] || utt2spk=
[ -z "$utt2spk" ] || require_files "$utt2spk"
[ -z "$data" ] || require_files "$data/utt2spk"
options=(--cluster-algorithm "$cluster_algorithm" --dbscan-eps "$dbscan_eps"
  --n-clusters "$n_clusters" --min-cluster-size "$min_cluster_size" --min-samples "$min_samples"
  --cluster-selection-method "$cluster_selection_method"
  --cluster-selection-epsilon "$cluster_selection_epsilon" --metric "$metric"
  --normalize "$normalize" --half-index "$half_index" --algorithm "$algorithm"
  --outliers "$outliers" --seed "$seed")
begin_step "$dir/clusters.json" "${options[@]}" ${data:+data="$data"} -- \
  "$vectors" ${utt2spk:+"$utt2spk"}

if [ -n "$data" ]; then
  [[ $vectors == *.scp ]] || die "$vectors: --data takes vectors by their .scp file"
  tied python3 -m unspeech.copies --data "$data" --out "$dir/originals.scp" "$vectors"
  vectors=$dir/originals.scp
fi

if [ "$nj" -gt 1 ] && [ "$cluster_algorithm" != kmeans ]; then
  $cmd "$dir/log/index.log" \
    job.sh python3 -m unspeech.neighbours index --embeddings "$vectors" --graph "$dir/graph" \
    --metric "$metric" --normalize "$normalize" --half-index "$half_index" --seed "$seed"
  $cmd JOB=1:"$nj" "$dir/log/neighbours.JOB.log" \
    job.sh python3 -m unspeech.neighbours search --graph "$dir/graph" --job JOB --jobs "$nj" \
    --min-samples "$min_samples"
fi

$cmd "$dir/log/cluster.log" \
  job.sh python3 -m unspeech.cluster --embeddings "$vectors" "${options[@]}" \
  ${utt2spk:+--utt2spk "$utt2spk"} --out "$dir"
require_files "$dir/utt2spk" "$dir/spk2utt" "$dir/clusters.json"
finish_step "$dir/clusters.json"
found=$dir/clusters.json
[ -z "$utt2spk" ] || found=$dir/scores.json
tied python3 -m unspeech.show_scores "$found"
