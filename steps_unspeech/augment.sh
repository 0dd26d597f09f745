#!/usr/bin/env bash
# Make a data directory with every utterance and copies of it. Copies aug1-<utterance>, aug2-… sound
# as if recorded in other rooms and by other microphones: reverberation, noise, spectral tilt, band
# limits, codecs, level. Copies voice1-<utterance>, … are in other voices and count as other speakers.
# utt2uniq names the original of each. For recorded noise and rooms (MUSAN, RIRS_NOISES), use Kaldi's
# steps/data/augment_data_dir.py and reverberate_data_dir.py.
#
# Usage: steps_unspeech/augment.sh [options] <data-dir> <new-data-dir>
#  e.g.: steps_unspeech/augment.sh --nj 8 --copies 2 data/train data/train_aug
set -euo pipefail

. "$(dirname "$0")/../path.sh"

nj=4               # jobs [integer 1 to 9999]
cmd=run_local.py   # how jobs are run; see cmd.sh
config=$UNSPEECH_ROOT/conf/augment.yaml   # how the copies are changed
copies=1           # per utterance, in the same voice [integer 0 to 99]
voices=0           # copies per utterance in other voices [integer 0 to 99]
seed=1             # of rooms, noise and so on [integer >= 0]
overwrite=false    # make it again, even if settings or inputs have changed

. parse_options.sh
[ $# -eq 2 ] || usage
data=$1
new_data=$2

require_files "$data/wav.scp" "$config"
[ $((copies + voices)) -gt 0 ] || die "--copies $copies --voices $voices: there is nothing to make"
inputs=("$data/wav.scp" "$config")
list=$data/wav.scp
add_existing inputs "$data"/{segments,utt2spk,utt2uniq,utt2lang,spk2gender,text,reco2file_and_channel}
[ ! -e "$data/segments" ] || list=$data/segments
begin_step "$new_data/wav.scp" copies="$copies" voices="$voices" seed="$seed" -- \
  "$data" "${inputs[@]}" -- "$new_data"/{segments,utt2spk,spk2utt,text,utt2uniq,utt2dur,utt2lang} \
  "$new_data"/{spk2gender,reco2dur,reco2file_and_channel,audio}

split=$new_data/log/split
mkdir -p "$split"
awk '{ print $1 }' < "$list" | sort > "$split/utterances.scp"
nj=$(split_scp "$split/utterances.scp" "$nj" "$split")
run_jobs JOB=1:"$nj" "$new_data/log/augment.JOB.log" \
  once.py "$new_data/wav.scp" JOB "$split/utterances.JOB.scp" --leaves "$split/made.JOB" \
  python3 -m unspeech.augment_data audio --data "$data" --utterances "$split/utterances.JOB.scp" \
  --config "$config" --copies "$copies" --voices "$voices" --seed "$seed" \
  --audio "$new_data/audio" --made "$split/made.JOB"

made=$(job_files "$split/made.JOB" "$nj" | paste -sd ,)
tied python3 -m unspeech.augment_data tables --data "$data" --made "$made" --out "$new_data"
finish_step "$new_data/wav.scp"
