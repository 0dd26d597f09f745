#!/usr/bin/env bash
# Train in rounds, without labels: cluster the training speech with what was learnt so far, and
# train again with contexts from any utterance of the target's cluster, so that a voice is learnt
# across recordings. It ends when two rounds in a row cluster alike, or after <rounds> rounds.
#
# Usage: steps_unspeech/train_rounds.sh [options] <data-dir> <model-dir>
#  e.g.: steps_unspeech/train_rounds.sh --config conf/speaker.yaml data/train exp/model
# The rounds are kept in <model-dir>/rounds, with the clusters of each. Killed and started again, it
# goes on where it was.
set -euo pipefail

. "$(dirname "$0")/../path.sh"

cmd=run_local.py   # how training, embedding and clustering are run; see gpu_cmd in cmd.sh
config=$UNSPEECH_ROOT/conf/speaker.yaml   # settings of the model and of training
rounds=2           # at most [integer >= 1]
agreement=0.95     # adjusted Rand index of two rounds' clusters from which on they are alike
                   # [number -1 to 1]
min_probability=0.5    # of an utterance to belong to its cluster, or it is not trained on again
                   # [number 0 to 1]
num_steps=         # training length of a round; default: the config's [integer >= 1]
max_minutes=       # upper bound of the time that training takes, in all [number > 0]
num_gpus=1         # GPUs of a training job, if it has any [integer 1 to 99]
num_workers=1      # jobs that train together, such as one on each of several hosts
                   # [integer 1 to 9999]
seed=1             # of initial weights, sampling and dropout [integer >= 0]
train_opts=        # more settings, over those of the config
overwrite=false    # train again, even if <model-dir> holds a model

. parse_options.sh
[ $# -eq 2 ] || usage
data=$1
model=$2
steps=$UNSPEECH_ROOT/steps_unspeech

require_files "$config"
feats=$(inputs_of "$data" "$config" "$train_opts")
begin_step "$model/final.ie.id" rounds="$rounds" agreement="$agreement" \
  min_probability="$min_probability" seed="$seed" num_steps="$num_steps" \
  train_opts="$train_opts" -- "$data" "$feats" "$config" -- \
  "$model"/{config.yaml,trained_on.yaml,train_log.jsonl,row_statistics.yaml,model.weights.h5,rounds}

bound=()
[ -z "$max_minutes" ] ||
  bound=(--max-minutes "$(awk -v all="$max_minutes" -v n="$rounds" 'BEGIN { print all / n }')")
before=
for ((round = 1; round <= rounds; round++)); do
  dir=$model/rounds/$round
  settings=$train_opts
  if [ -n "$before" ]; then
    printf -v quoted %q "$before"    # split_words takes it apart again
    settings+=" --context-sampling speaker --initial-model $quoted/model"
    settings+=" --pseudo-utt2spk $quoted/pseudo_utt2spk"
  fi
  echo "Round $round of at most $rounds"
  "$steps/train.sh" --cmd "$cmd" --num-gpus "$num_gpus" --num-workers "$num_workers" \
    --config "$config" --seed "$seed" --num-steps "$num_steps" \
    "${bound[@]}" --train-opts "$settings" "$data" "$dir/model"
  [ "$round" -lt "$rounds" ] || break
  "$steps/embed_utterances.sh" --cmd "$cmd" "$data" "$dir/model" "$dir/embeddings"
  gold=(${before:+--utt2spk "$before/clusters/utt2spk"})
  "$steps/cluster.sh" --cmd "$cmd" --outliers own "${gold[@]}" "$dir/embeddings" "$dir/clusters"
  if [ -n "$before" ]; then
    ari=$(awk -F '[:,]' '/"ari"/ { print $2 + 0 }' "$dir/clusters/scores.json")
    echo "Round $round clusters as the one before with an adjusted Rand index of $ari"
    ! awk -v a="$ari" -v b="$agreement" 'BEGIN { exit !(a >= b) }' || break
  fi
  awk -v least="$min_probability" 'NR == FNR { if ($2 >= least) sure[$1]; next } $1 in sure' \
    "$dir/clusters/probabilities" "$dir/clusters/utt2spk" > "$dir/pseudo_utt2spk.part"
  mv "$dir/pseudo_utt2spk.part" "$dir/pseudo_utt2spk"
  wc -l < "$dir/pseudo_utt2spk" | sed 's/$/ utterances have a speaker for the next round/'
  before=$dir
done

for file in config.yaml trained_on.yaml train_log.jsonl row_statistics.yaml model.weights.h5 \
  final.ie.id; do
  cp "$dir/model/$file" "$model/$file.part"
  mv "$model/$file.part" "$model/$file"
done
finish_step "$model/final.ie.id"
