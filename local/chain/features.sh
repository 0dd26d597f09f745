#!/usr/bin/env bash
# Copy a data directory with MFCC of its own, by conf/<name>.conf, and their statistics.
#
# Usage: local/chain/features.sh [options] <data-dir> <name> <new-data-dir>
set -euo pipefail

. "$(dirname "$0")/../../path.sh"

nj=2
cmd=run.pl

. parse_options.sh
[ $# -eq 3 ] || usage
. ./path.sh

rm -rf "$3"
utils/copy_data_dir.sh "$1" "$3"
rm -f "$3"/{feats,cmvn}.scp "$3"/utt2num_frames
steps/make_mfcc.sh --nj "$(jobs_of "$3" "$nj")" --cmd "$cmd" --mfcc-config "conf/$2.conf" "$3"
steps/compute_cmvn_stats.sh "$3"
utils/validate_data_dir.sh "$3"
