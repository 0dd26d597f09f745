#!/usr/bin/env bash
# Make log-FBANK features of a data directory, not normalised: feats.scp, utt2num_frames, utt2dur.
#
# Usage: steps_unspeech/make_fbank.sh [options] <data-dir> [<log-dir> [<fbank-dir>]]
#  e.g.: steps_unspeech/make_fbank.sh --nj 8 --cmd run.pl data/train exp/fbank/log exp/fbank
# The defaults are <data-dir>/log and <data-dir>/data.
set -euo pipefail

. "$(dirname "$0")/../path.sh"

nj=4
cmd=run_local.py   # how jobs are run; see cmd.sh
fbank_config=$UNSPEECH_ROOT/conf/fbank.conf   # options of Kaldi's compute-fbank-feats
seed=1             # of the dither
max_failed_fraction=0.05   # of utterances that cannot be used, of all
overwrite=false    # make them again, even if they were made otherwise

. parse_options.sh
[ $# -ge 1 ] && [ $# -le 3 ] || usage
data=$1
log=${2:-$data/log}
dir=${3:-$data/data}

require_files "$data/wav.scp" "$fbank_config"
inputs=("$data/wav.scp" "$fbank_config")
list=$data/wav.scp
if [ -e "$data/segments" ]; then
  inputs+=("$data/segments")
  list=$data/segments
fi
begin_step "$data/feats.scp" seed="$seed" dir="$dir" -- "${inputs[@]}"

mkdir -p "$log" "$dir"
name=$(basename "$(realpath "$data")")
split=$log/split_$name
mkdir -p "$split"
awk '{ print $1 }' "$list" | sort > "$split/utterances.scp"
nj=$(split_scp "$split/utterances.scp" "$nj" "$split")
utterances=$(wc -l < "$split/utterances.scp")
max_failed=$(awk "BEGIN { print int($max_failed_fraction * $utterances) }")
out=$dir/raw_fbank_$name.JOB
kaldi=()
if command -v compute-fbank-feats > /dev/null; then
  kaldi=(--compute-fbank-feats "$(command -v compute-fbank-feats)")
fi
$cmd JOB=1:"$nj" "$log/make_fbank_$name.JOB.log" \
  job.sh once.py "$data/feats.scp" JOB "$split/utterances.JOB.scp" \
  python3 -m unspeech.fbank --data "$data" --utterances "$split/utterances.JOB.scp" \
  --config "$fbank_config" --seed "$seed" --max-failed "$max_failed" \
  "${kaldi[@]}" --ark "$out.ark" --scp "$out.scp" \
  --num-frames "$split/num_frames.JOB" --durations "$split/durations.JOB" \
  --failed "$split/failed.JOB"

join_text "$split/failed.JOB" "$nj" "$log/failed_utterances"
if [ -s "$log/failed_utterances" ]; then
  failed=$(wc -l < "$log/failed_utterances")
  echo "$failed of $utterances utterances could not be used; their names and why:" \
    "$log/failed_utterances"
  [ "$failed" -le "$max_failed" ] || die "more than --max-failed-fraction $max_failed_fraction of" \
    "the utterances failed, the first: $(head -n 1 "$log/failed_utterances")"
fi
join_jobs "$split/num_frames.JOB" "$nj" "$data/utt2num_frames"
join_jobs "$split/durations.JOB" "$nj" "$data/utt2dur"
join_jobs "$out.scp" "$nj" "$data/feats.scp"
finish_step "$data/feats.scp"
