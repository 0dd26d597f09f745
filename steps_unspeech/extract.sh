#!/usr/bin/env bash
# Make an i-vector directory from a data directory's features, for Kaldi's nnet3 scripts:
# ivector_online.scp with one embedding every <period> frames, ivector_period and final.ie.id.
#
# Usage: steps_unspeech/extract.sh [options] <data-dir> <model-dir> <ivector-dir>
#  e.g.: steps_unspeech/extract.sh --nj 4 data/dev_hires exp/model exp/ivectors_dev_hires
# docs/ivectors.md compares these options with those of Kaldi's own steps.
set -euo pipefail

. "$(dirname "$0")/../path.sh"

nj=1               # jobs; each of a network uses all cores [integer 1 to 9999]
cmd=run_local.py   # how jobs are run; see cmd.sh
use_gpu=false      # ask for a GPU for each job
period=10          # frames from one row to the next [integer >= 1]
causal=false       # make row t only of frames up to t * period, as in online decoding
feature_means=false    # put the mean of each channel of the features before the embedding, for
                   # recognisers whose features keep their mean; for models without a network
normalize_rows=false   # zero mean and unit variance of each dimension over the training speech
average=none       # running: mean of the speaker's rows so far; utterance, speaker: mean of all rows
                   # [none|running|utterance|speaker]
utts_per_spk_max=-1    # with running or speaker: split speakers into groups of so many utterances;
                   # -1: do not [integer >= -1]
compress=false     # one byte per number, lossy, as Kaldi stores i-vectors
embed_opts=        # more options of the rows, such as "--genfeat-combine-contexts true"
overwrite=false    # make it again, even if settings or inputs have changed

. parse_options.sh
[ $# -eq 3 ] || usage
data=$1
model=$(model_of "$2")
dir=$3

require_files "$model/final.ie.id" "$model/config.yaml"
feats=$(inputs_of "$data" "$model/config.yaml")
inputs=("$feats" "$model/final.ie.id")
add_channels inputs "$feats" "$data"
split_words rows "$embed_opts"
! $causal || rows+=(--causal true)
! $feature_means || rows+=(--feature-means true)
! $compress || rows+=(--output-feat-format kaldi_compressed)
if $normalize_rows; then
  ! without_network "$model/config.yaml" ||
    die "$model: --normalize-rows is for networks; the head has normalised these rows already"
  statistics=$model/row_statistics.yaml
  [ -s "$statistics" ] || die "$statistics: no such file; make it with" \
    "python3 -m unspeech.row_statistics --data <training-data> --model $model"
  rows+=(--normalize-rows true) inputs+=("$statistics")
fi
[ "$average" = none ] || rows+=(--average "$average")
settings=(period="$period" embed_opts="${rows[*]}")
case $average in
  none | utterance)
    [ "$utts_per_spk_max" -eq -1 ] || die "--utts-per-spk-max is for --average running or speaker"
    ;;
  running | speaker)
    require_files "$data/utt2spk"
    settings+=(utts_per_spk_max="$utts_per_spk_max") inputs+=("$data/utt2spk")
    ;;
esac
mapfile -t arks < <(job_files "$dir/ivector_online.JOB.ark" "$nj")
begin_step "$dir/ivector_online.scp" "${settings[@]}" -- "$data" "$model" "${inputs[@]}" -- \
  "$dir"/{ivector_period,final.ie.id} "${arks[@]}" "${arks[@]/%.ark/.scp}"

mkdir -p "$dir/split"
feats=$(scp_of "$feats" "$dir/split")
job=$dir/split/$(basename "$feats" .scp).JOB
if [[ $average =~ ^(running|speaker)$ ]]; then
  nj=$(tied python3 -m unspeech.speakers --feats "$feats" --utt2spk "$data/utt2spk" \
    --utts-per-spk-max "$utts_per_spk_max" --nj "$nj" --out "$dir/split")
  rows+=(--spk2utt "$job.spk2utt")
else
  nj=$(split_scp "$feats" "$nj" "$dir/split")
fi
! $use_gpu || cmd+=" --gpu 1"
run_jobs JOB=1:"$nj" "$dir/log/extract.JOB.log" \
  once.py "$dir/ivector_online.scp" JOB "$job.scp" --leaves "$dir/ivector_online.JOB.ark" \
  python3 -m unspeech.embed ivectors --feats "$job.scp" --data "$data" --model "$model" \
  --period "$period" --ark "$dir/ivector_online.JOB.ark" "${rows[@]}"

join_jobs "$dir/ivector_online.JOB.scp" "$nj" "$dir/ivector_online.scp"
same_utterances "$dir/ivector_online.scp" "$feats" "$dir/ivector_online.scp"
finish_step "$dir/ivector_online.scp"
rm -f "$dir"/split/*.ark
