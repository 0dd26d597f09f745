#!/usr/bin/env bash
# Make a data directory whose speakers are the clusters, corrected as listen.sh has left them (names
# of speakers as they were typed are in spk2name). An utterance's new name is
# <cluster>-<utterance>; utt_map has a line `new old` each. A speed-perturbed copy, sp0.9-<utterance>,
# gets the cluster of the original: sp0.9-<cluster>-<utterance>.
#
# Usage: steps_unspeech/make_clustered_data_dir.sh [options] <data-dir> <clusters-dir> <new-data-dir>
#  e.g.: steps_unspeech/make_clustered_data_dir.sh data/train exp/clusters data/train_clustered
set -euo pipefail

. "$(dirname "$0")/../path.sh"

outliers=own       # own: as <clusters-dir> has them; nearest: in the nearest cluster; or leave-out
                   # [own|nearest|leave-out]
overwrite=false    # make it again, even if settings or inputs have changed

. parse_options.sh
[ $# -eq 3 ] || usage
data=$1
clusters=$2
dir=$3

require_files "$data/utt2spk" "$clusters/utt2spk"
inputs=("$clusters/utt2spk" "$data/utt2spk")
[ "$outliers" = own ] || inputs+=("$clusters/outliers")
add_existing inputs "$clusters"/{uncorrected,corrections.jsonl} \
  "$data"/{wav.scp,segments,text,feats.scp,utt2uniq,utt2lang,utt2warp,reco2file_and_channel,stm,glm,ctm}
# Not what Kaldi's scripts add to a data directory while they work on it, such as frame_shift.
begin_step "$dir/spk2utt" outliers="$outliers" -- "$data" "$clusters" "${inputs[@]}" -- \
  "$dir"/{wav.scp,segments,utt2spk,text,feats.scp,vad.scp,cmvn.scp,cmvn.ark,utt_map,utt2uniq} \
  "$dir"/{utt2dur,utt2num_frames,utt2lang,utt2warp,reco2dur,reco2file_and_channel} \
  "$dir"/{frame_shift,stm,glm,ctm,spk2name}

tied python3 -m unspeech.clustered_data --data "$data" --clusters "$clusters" \
  --outliers "$outliers" --out "$dir"
finish_step "$dir/spk2utt"
