#!/usr/bin/env bash
# Make <data-dir>/<speakers>/{train,test} of <data-dir>/true/{train,test}: with `none`, nobody knows
# who speaks, so each utterance has a speaker of its own; with `clusters`, speakers are the clusters
# that <unspeech-dir>, a directory of ../../run.sh, holds.
#
# Usage: local/chain/speakers.sh [options] <speakers> <data-dir> <unspeech-dir>
set -euo pipefail

. "$(dirname "$0")/../../path.sh"
. parse_options.sh
[ $# -eq 3 ] || usage
. ./path.sh
speakers=$1
data=$2
unspeech=$3

case $speakers in
  none | clusters) ;;
  *) die "a line of the list begins with '$speakers'; it may be true, none or clusters" ;;
esac
for part in train test; do
  new=$data/$speakers/$part
  rm -rf "$new"
  if [ "$speakers" = clusters ]; then
    utils/copy_data_dir.sh "$unspeech/data/${part}_clustered" "$new"
    cp "$unspeech/data/${part}_clustered/utt_map" "$new"
    rm -f "$new"/{feats,cmvn}.scp
  else
    utils/copy_data_dir.sh "$data/true/$part" "$new"
    awk '{ print $1, $1 }' "$data/true/$part/utt2spk" > "$new/utt2spk"
    cp "$new/utt2spk" "$new/spk2utt"
  fi
  utils/validate_data_dir.sh --no-feats "$new"
done
