#!/usr/bin/env bash
# Make a data directory with every utterance and copies of it at 0.9 and 1.1 times the speed. Names of
# copies and of their speakers begin with sp0.9- and sp1.1-, as those of Kaldi's
# utils/data/perturb_data_dir_speed_3way.sh do.
#
# Usage: steps_unspeech/perturb_speed.sh [options] <data-dir> <new-data-dir>
#  e.g.: steps_unspeech/perturb_speed.sh data/train data/train_sp
set -euo pipefail

. "$(dirname "$0")/../path.sh"

overwrite=false    # make it again, even if settings or inputs have changed

. parse_options.sh
[ $# -eq 2 ] || usage
data=$1
new_data=$2

require_files "$data/wav.scp"
inputs=("$data/wav.scp")
add_existing inputs "$data"/{segments,utt2spk,utt2uniq,utt2lang,spk2gender,text,reco2file_and_channel}
begin_step "${new_data%/}/" -- "$data" "${inputs[@]}"

tied python3 -m unspeech.perturb --replace true --out "$new_data" "$data"
finish_step "${new_data%/}/"
