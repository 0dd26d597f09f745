#!/usr/bin/env bash
# Train a model on the features of a data directory, without labels.
#
# Usage: steps_unspeech/train.sh [options] <data-dir> <model-dir>
#  e.g.: steps_unspeech/train.sh --config conf/unspeech_64.yaml data/train exp/model
# or:    steps_unspeech/train.sh [options] --filelist <feats.scp or .ark> <model-dir>
# Killed and called again, it resumes from the last checkpoint. Several GPUs or workers share each
# batch, and training takes the same course as with one. With solve_head, the head is solved at the
# end; conf/statistics.yaml is only that. docs/training.md explains the settings.
set -euo pipefail

. "$(dirname "$0")/../path.sh"

nj=1               # jobs that pool the utterances for a solved head [integer 1 to 9999]
cmd=run_local.py   # how jobs are run; see gpu_cmd in cmd.sh
config=$UNSPEECH_ROOT/conf/unspeech_64.yaml   # settings of the model and of training
filelist=          # features to train on in place of a data directory
num_steps=         # training length; default: the config's [integer >= 1]
max_minutes=       # upper bound of the time that training takes [number > 0]
num_gpus=1         # GPUs of a worker, if it has any [integer 1 to 99]
num_workers=1      # jobs that train together, such as one on each of several hosts
                   # [integer 1 to 9999]
seed=              # of initial weights, sampling and dropout; default: the config's, else 1
                   # [integer >= 0]
train_opts=        # settings that override the config, such as "--batch-size 16 --fc-size 512"
overwrite=false    # train again, even if <model-dir> holds another model

. parse_options.sh
if [ -n "$filelist" ]; then
  [ $# -eq 1 ] || usage
  data=$filelist
else
  [ $# -eq 2 ] || usage
  data=$1
  shift
fi
model=$1

require_files "$config"
seed=${seed:-$(setting_of seed "$config" "$train_opts")}
seed=${seed:-1}
sources=("$data")
if [[ $train_opts =~ --memmap[-_]dir[\ =]([^ ]+) && ! -e $data && -s ${BASH_REMATCH[1]}/made_from ]]
then
  feats=${BASH_REMATCH[1]}/made_from sources=()   # features decoded once may be gone
  [[ ! $(setting_of solve_head "$config" "$train_opts") =~ ^(true|t|1|yes|on)$ ]] ||
    die "$data: no such directory; a head is solved from its features, not from $feats"
else
  feats=$(inputs_of "$data" "$config" "$train_opts")
fi
split_words settings "$train_opts"
[ -z "$num_steps" ] || settings+=(--num-steps "$num_steps")
[ -z "$max_minutes" ] || settings+=(--max-minutes "$max_minutes")
train=(python3 -m unspeech.train --config "$config" --seed "$seed" "${settings[@]}"
  --data "$data" --dir "$model")
if [[ $train_opts =~ --test[-_]sampling ]]; then
  run_jobs "$model/log/test_sampling.log" "${train[@]}"
  echo "$model/sampling.png"
  exit
fi

# Who shares a recording, a speaker or a context is what is learnt from.
add_existing sources "$data"/{segments,utt2uniq}
add_channels sources "$feats" "$data"
for name in pseudo_utt2spk spk2utt ali_ctm initial_model; do
  table=$(setting_of "$name" "$config" "$train_opts")
  [ -z "$table" ] || add_existing sources "$table" "$table/final.ie.id"
done
# Training of another length is not another run: a longer one goes on from a shorter one.
begin_step "$model/final.ie.id" seed="$seed" +num_steps="$num_steps" +max_minutes="$max_minutes" \
  train_opts="$train_opts" -- "${sources[@]}" "$feats" "$config" -- "$model"/{config.yaml,trained_on.yaml,model.weights.h5} \
  "$model"/{train_log.jsonl,row_statistics.yaml,unused_utterances,checkpoints,tensorboard}

log=$model/log/train.log jobs=()
train+=(--num-gpus "$num_gpus")
[ "$num_gpus" -eq 1 ] || cmd+=" --gpu $num_gpus"
if [ "$num_workers" -gt 1 ]; then
  log=$model/log/train.JOB.log
  cmd+=" --max-jobs-run $num_workers"
  jobs=(JOB=1:"$num_workers")
  train+=(--num-workers "$num_workers" --worker JOB)
  rm -rf "$model/workers"   # where they meet
  mkdir -p "$model/workers"
fi
echo "Training; to watch: tail -f ${log/JOB/1}"
run_jobs "${jobs[@]}" "$log" "${train[@]}"
rm -rf "$model/workers"
if sets_true solve_head "$model/config.yaml"; then
  began=$SECONDS
  pool_contexts "$model/final.ie.id" "$data" "$feats" "$model" "$model/contexts"
  run_jobs "$model/log/solve.log" python3 -m unspeech.solve head --model "$model" \
    --sums "${sums[@]}" --seconds $((SECONDS - began))
  [ ! -e "$model/log/solve.log" ] ||
    tail -n 3 "$model/log/solve.log" | sed -n "s|^Summary: |$model: |p"
fi
require_files "$model/model.weights.h5" "$model/final.ie.id"
[ ! -e "${log/JOB/1}" ] || sed -n "s|^Summary: |$model: |p" "${log/JOB/1}"
finish_step "$model/final.ie.id"
rm -rf "$model/contexts"
