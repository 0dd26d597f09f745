#!/usr/bin/env bash
# Make log-FBANK features of a data directory, not normalised. Writes feats.scp, utt2num_frames and
# utt2dur into it.
#
# Usage: steps_unspeech/make_fbank.sh [options] <data-dir> [<log-dir> [<fbank-dir>]]
#  e.g.: steps_unspeech/make_fbank.sh --nj 8 --cmd run.pl data/train exp/fbank/log exp/fbank
# The defaults are <data-dir>/log and <data-dir>/data.
set -euo pipefail

. "$(dirname "$0")/../path.sh"

nj=4               # jobs [integer 1 to 9999]
cmd=run_local.py   # how jobs are run; see cmd.sh
fbank_config=$UNSPEECH_ROOT/conf/fbank.conf   # options of Kaldi's compute-fbank-feats
seed=1             # of the dither [integer >= 0]
max_failed_fraction=0.05   # fraction of utterances that may be unusable; more is an error [number 0 to 1]
overwrite=false    # make them again, even if settings or inputs have changed

. parse_options.sh
[ $# -ge 1 ] && [ $# -le 3 ] || usage
data=$1
log=${2:-$data/log}
dir=${3:-$data/data}

require_files "$data/wav.scp" "$fbank_config"
inputs=("$data/wav.scp" "$fbank_config")
list=$data/wav.scp
add_existing inputs "$data"/{segments,reco2file_and_channel}
[ ! -e "$data/segments" ] || list=$data/segments
name=$(basename "$(realpath "$data")")
out=$dir/raw_fbank_$name.JOB
mapfile -t arks < <(job_files "$out.ark" "$nj")
# Another data directory of this name may have the same directories.
said=$(mkdir -p "$dir" "$log" 2>&1) || die "$said; give another directory"
lock_dir "$dir/.raw_fbank_$name.lock" "$dir"
lock_dir "$log/.split_$name.lock" "$log"
begin_step "$data/feats.scp" seed="$seed" dir="$dir" -- "${inputs[@]}" -- \
  "${arks[@]}" "${arks[@]/%.ark/.scp}"

split=$log/split_$name
mkdir -p "$split"
awk '{ print $1 }' < "$list" | sort > "$split/utterances.scp"
nj=$(split_scp "$split/utterances.scp" "$nj" "$split")
utterances=$(wc -l < "$split/utterances.scp")
max_failed=$(awk -v fraction="$max_failed_fraction" -v all="$utterances" \
  'BEGIN { print int(fraction * all) }')
if [ -e "$data/utt2spk" ]; then
  mapfile -t silent < <(awk 'NR == FNR { known[$1]; next } !($1 in known) { print $1 }' \
    "$list" "$data/utt2spk")
  if [ ${#silent[@]} -gt 0 ]; then
    silent_ones="${#silent[@]} utterances of $data/utt2spk have no line in $list, such as '${silent[0]}'"
    [ ${#silent[@]} -le "$max_failed" ] || die "$silent_ones, more than --max-failed-fraction" \
      "$max_failed_fraction of those that have: add what is missing, or run utils/fix_data_dir.sh"
    echo "$silent_ones: left out"
  fi
fi
kaldi=()
if command -v compute-fbank-feats > /dev/null; then
  kaldi=(--compute-fbank-feats "$(command -v compute-fbank-feats)")
fi
run_jobs JOB=1:"$nj" "$log/make_fbank_$name.JOB.log" \
  once.py "$data/feats.scp" JOB "$split/utterances.JOB.scp" \
  --leaves "$out.ark" --leaves "$split/failed.JOB" \
  python3 -m unspeech.fbank --data "$data" --utterances "$split/utterances.JOB.scp" \
  --config "$fbank_config" --seed "$seed" --max-failed "$max_failed" \
  "${kaldi[@]}" --ark "$out.ark" --scp "$out.scp" \
  --num-frames "$split/num_frames.JOB" --durations "$split/durations.JOB" \
  --failed "$split/failed.JOB"

join_text "$split/failed.JOB" "$nj" "$log/failed_utterances_$name"
if [ -s "$log/failed_utterances_$name" ]; then
  failed=$(wc -l < "$log/failed_utterances_$name")
  echo "$failed of $utterances utterances could not be used; their names and why:" \
    "$log/failed_utterances_$name"
  [ "$failed" -le "$max_failed" ] || die "more than --max-failed-fraction $max_failed_fraction of" \
    "the utterances failed, the first: $(head -n 1 "$log/failed_utterances_$name")"
fi
join_jobs "$split/num_frames.JOB" "$nj" "$data/utt2num_frames"
join_jobs "$split/durations.JOB" "$nj" "$data/utt2dur"
join_jobs "$out.scp" "$nj" "$data/feats.scp"
same_utterances "$data/feats.scp" "$split/utterances.scp" "$data/feats.scp" "$log/failed_utterances_$name"
finish_step "$data/feats.scp"
