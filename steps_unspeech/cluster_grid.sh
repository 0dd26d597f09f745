#!/usr/bin/env bash
# Try several settings of clustering on one graph of neighbours. Writes a table and a plot, grid.tsv
# and grid.png: scores if there are true speakers, else numbers and stabilities of clusters.
# cluster.sh with the same <clusters-dir> uses the same graph.
#
# Usage: steps_unspeech/cluster_grid.sh [options] <embedding-or-ivector-dir> <clusters-dir>
#  e.g.: steps_unspeech/cluster_grid.sh --utt2spk data/dev/utt2spk exp/embeddings_dev exp/clusters_dev
set -euo pipefail

. "$(dirname "$0")/../path.sh"

cmd=run_local.py   # how the job is run; see cmd.sh
utt2spk=           # true speakers, for scores
min_cluster_size=3,5,8,12,20   # settings to try [integers >= 2]
min_samples=1,2,3,5,8          # settings to try [integers >= 1]
cluster_selection_method=eom   # the most stable clusters, or the smallest [eom|leaf]
cluster_selection_epsilon=0.0  # distance below which clusters are not split [number >= 0]
metric=cosine      # all but cosine: of the vectors as they are [cosine|euclidean|cityblock|chebyshev]
normalize=false    # scale vectors to unit length with the other metrics, too
outliers=nearest   # in scores: each is a speaker of its own, joins the nearest cluster, or is left out
                   # [own|nearest|leave-out]
half_index=-1      # use the values of each vector from this index on; -1: all [integer >= -1]
algorithm=auto     # auto: by the number of utterances [auto|exact|approximate]
seed=1             # of whatever is drawn at random [integer >= 0]
overwrite=false    # try again, even if settings or inputs have changed

. parse_options.sh
[ $# -eq 2 ] || usage
dir=$2

vectors=$(vectors_of "$1")
[ "$utt2spk" != none ] || utt2spk=
[ -z "$utt2spk" ] || require_files "$utt2spk"
options=(--min-cluster-size "$min_cluster_size" --min-samples "$min_samples"
  --cluster-selection-method "$cluster_selection_method"
  --cluster-selection-epsilon "$cluster_selection_epsilon" --metric "$metric"
  --normalize "$normalize" --outliers "$outliers" --half-index "$half_index" --algorithm "$algorithm" --seed "$seed")
begin_step "$dir/grid.tsv" "${options[@]}" -- "$1" "$vectors" ${utt2spk:+"$utt2spk"} -- \
  "$dir/grid.png"
! $overwrite || rm -f "$dir"/graph/*.json    # what says which phases of the graph are done

run_jobs "$dir/log/grid.log" \
  python3 -m unspeech.cluster_grid --embeddings "$vectors" "${options[@]}" \
  ${utt2spk:+--utt2spk "$utt2spk"} --out "$dir"
require_files "$dir/grid.tsv" "$dir/grid.png"
finish_step "$dir/grid.tsv"
