#!/usr/bin/env bash
# Cluster utterances into speakers, without labels: utt2spk, spk2utt, clusters.json, and scores.json
# with gold speakers. Matrices, such as i-vectors over time, are averaged. An .scp or .ark file
# serves in place of a directory. The graph of nearest neighbours is kept in <clusters-dir>/graph,
# and not made again for other settings. Corrections that listen.sh has left in <clusters-dir> are
# kept; the same call clusters again when there are new ones.
#
# Usage: steps_unspeech/cluster.sh [options] <embedding-or-ivector-dir> <clusters-dir>
#  e.g.: steps_unspeech/cluster.sh --utt2spk data/dev/utt2spk exp/embeddings_dev exp/clusters_dev
set -euo pipefail

. "$(dirname "$0")/../path.sh"

nj=1               # jobs that share the search for neighbours, for millions of utterances
                   # [integer 1 to 9999]
cmd=run_local.py   # how jobs are run; see cmd.sh
utt2spk=           # true speakers, for scores only
data=              # data directory of the utterances: copies of others (utt2uniq, sp0.9-…) are not
                   # clustered; make_clustered_data_dir.sh gives them the cluster of the original
cluster_algorithm=HDBSCAN       # [HDBSCAN|DBSCAN|kmeans]
dbscan_eps=0.05    # for DBSCAN: distance of neighbours [number > 0]
n_clusters=42      # for kmeans [integer >= 1]
min_cluster_size=5 # for HDBSCAN: the smallest cluster, in utterances [integer >= 2]
min_samples=2      # neighbours that an utterance must have nearby; more makes more outliers
                   # [integer >= 1]
cluster_selection_method=eom    # the most stable clusters, or the smallest [eom|leaf]
cluster_selection_epsilon=0.0   # distance below which clusters are not split [number >= 0]
metric=cosine      # all but cosine: of the vectors as they are [cosine|euclidean|cityblock|chebyshev]
normalize=false    # scale vectors to unit length with the other metrics, too
half_index=-1      # use the values of each vector from this index on; -1: all [integer >= -1]
algorithm=auto     # auto: by the number of utterances [auto|exact|approximate]
outliers=nearest   # each is a speaker of its own, joins the nearest cluster, or is left out
                   # [own|nearest|leave-out]
seed=1             # of whatever is drawn at random [integer >= 0]
overwrite=false    # cluster again, even if settings or inputs have changed

. parse_options.sh
[ $# -eq 2 ] || usage
dir=$2

vectors=$(vectors_of "$1")
[ "$utt2spk" != none ] || utt2spk=
[ -z "$utt2spk" ] || require_files "$utt2spk"
[ -z "$data" ] || require_files "$data/utt2spk"
[[ -z $data || $vectors == *.scp ]] || die "$vectors: --data takes vectors by their .scp file"
options=(--cluster-algorithm "$cluster_algorithm" --dbscan-eps "$dbscan_eps"
  --n-clusters "$n_clusters" --min-cluster-size "$min_cluster_size" --min-samples "$min_samples"
  --cluster-selection-method "$cluster_selection_method"
  --cluster-selection-epsilon "$cluster_selection_epsilon" --metric "$metric"
  --normalize "$normalize" --half-index "$half_index" --algorithm "$algorithm"
  --outliers "$outliers" --seed "$seed")
inputs=("$vectors" ${utt2spk:+"$utt2spk"})
[ ! -e "${data:-none}/utt2uniq" ] || inputs+=("$data/utt2uniq")
corrections=()     # new ones are taken in on the graph that there is
[ ! -e "$dir/corrections.jsonl" ] ||
  corrections=("+corrections=$(md5sum < "$dir/corrections.jsonl" | cut -c 1-32)")
begin_step "$dir/clusters.json" "${options[@]}" "${corrections[@]}" ${data:+data="$data"} -- \
  "$1" ${data:+"$data"} "${inputs[@]}" -- \
  "$dir"/{utt2spk,spk2utt,outliers,probabilities,members.npz,scores.json,uncorrected} \
  ${data:+"$dir/originals.scp"}
! $overwrite || rm -f "$dir"/graph/*.json    # what says which phases of the graph are done

if [ -n "$data" ]; then
  tied python3 -m unspeech.copies --data "$data" --out "$dir/originals.scp" "$vectors"
  vectors=$dir/originals.scp
fi

if [ "$nj" -gt 1 ] && [ "$cluster_algorithm" != kmeans ]; then
  run_jobs "$dir/log/index.log" \
    python3 -m unspeech.neighbours index --embeddings "$vectors" --graph "$dir/graph" \
    --metric "$metric" --normalize "$normalize" --half-index "$half_index" --seed "$seed"
  run_jobs JOB=1:"$nj" "$dir/log/neighbours.JOB.log" \
    python3 -m unspeech.neighbours search --graph "$dir/graph" --job JOB --jobs "$nj" \
    --min-samples "$min_samples"
fi

run_jobs "$dir/log/cluster.log" \
  python3 -m unspeech.cluster --embeddings "$vectors" "${options[@]}" \
  ${utt2spk:+--utt2spk "$utt2spk"} --out "$dir"
require_files "$dir/utt2spk" "$dir/spk2utt" "$dir/clusters.json"
[[ $outliers == leave-out || $vectors != *.scp ]] ||
  same_utterances "$dir/clusters.json" "$vectors" "$dir/utt2spk"
finish_step "$dir/clusters.json"
found=$dir/clusters.json
[ -z "$utt2spk" ] || found=$dir/scores.json
tied python3 -m unspeech.show_scores "$found"
