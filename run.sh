#!/usr/bin/env bash
# The whole chain: from a corpus without labels to a model, i-vectors, speakers and a report.
#
# Usage: ./run.sh [options]
#  e.g.: ./run.sh
#        ./run.sh --corpus /corpora/voices --eval-corpus /corpora/emodb,/corpora/fsdd
#        ./run.sh --recipe ../s5_r3
#        ./run.sh --model voices-so762 --corpus /corpora/meetings
# Stages: 0 data  1 make_fbank  2 train  3 adapt  4 extract  5 embed_utterances  6 cluster
# 7 evaluate  8 report. Killed and started again with the same command, it resumes where it left off.
set -euo pipefail

. "$(dirname "$0")/path.sh"
. "$UNSPEECH_ROOT/cmd.sh"

stage=0            # the first to run [integer 0 to 8]
stop_stage=8       # the last to run [integer 0 to 8]
corpus=            # training corpus: a data directory or a folder of audio; default: a demo corpus
recipe=            # Kaldi recipe to work on and to make i-vectors for; default: the one beside this
                   # checkout, if there is one that local/<corpus>/recipe.sh names
eval_corpus=       # labelled corpora to score on, separated by commas; DIR:3 joins short utterances
                   # of a speaker (spoken digits, say) into some of about 3 seconds
speed_perturb=false    # train on copies of the corpus at 0.9 and 1.1 times its speed, too
config=            # settings of the model and of training; default: conf/statistics.yaml, in a
                   # recipe conf/recogniser.yaml
max_minutes=       # upper bound of the time that training takes [number > 0]
num_steps=         # training length in steps; default: the config's [integer >= 1]
num_gpus=1         # GPUs of a training job, if it has any [integer 1 to 99]
num_workers=1      # jobs that train together, such as one on each of several hosts
                   # [integer 1 to 9999]
model=             # model directory, or the name of one in python/unspeech/pretrained: do not train
rounds=3           # of adaptation to each corpus, at most: cluster it, take clusters for contexts as
                   # well, solve the head again; 0: no rounds; -1: no adaptation [integer >= -1]
seed=1             # of whatever is drawn at random [integer >= 0]
dir=               # everything of a run is in here; default: exp/<name of the corpus folder>,
                   # in a recipe its exp/nnet3_unspeech
nj=4               # jobs of make_fbank [integer 1 to 9999]
embed_nj=1         # jobs of extract and embed_utterances; each of a network uses all cores
                   # [integer 1 to 9999]
cmd=$train_cmd     # how jobs are run; see cmd.sh
# shellcheck disable=SC2269    # it makes an option of what cmd.sh has set
gpu_cmd=$gpu_cmd   # how training is run; see cmd.sh
gpu=false          # install TensorFlow with CUDA; embed with it, too
overwrite=false    # make the outputs of these stages again, even if they were made otherwise

. parse_options.sh
[ $# -eq 0 ] || usage
given_config=$config
. "$UNSPEECH_ROOT/local/recipe.sh"     # the Kaldi recipe beside, if any
config=${config:-$UNSPEECH_ROOT/conf/statistics.yaml}
. "$UNSPEECH_ROOT/local/corpora.sh"    # $names, $train_data, $extracted, $clustered, $scored
. "$UNSPEECH_ROOT/local/run_dir.sh"    # $dir is locked, and this run's; $models, $adapted
setup_venv.sh --gpu "$gpu"

if wanted 0; then    # data directories of all corpora, of training speech at other speeds, too
  own_features=()
  [ -z "$recipe" ] || own_features=(--features false)    # a recipe's are MFCC
  for name in "${names[@]}"; do
    run_step 0 "data $name" "$dir/data/$name" \
      import_corpus.sh --seed "$seed" --join-seconds "${joined[$name]:-0}" "${own_features[@]}" \
      "${source_of[$name]:-demo}" "$dir/data/$name"
  done
  if $speed_perturb; then
    run_step 0 "perturb_speed $train" "$dir/data/$train_data" \
      perturb_speed.sh "$dir/data/$train" "$dir/data/$train_data"
  fi
  for name in ${recipe:+"${extracted[@]}"}; do    # its speakers are parts of a person's speech
    sed "$speaker_to_person" "$dir/data/$name/utt2spk" > "$dir/data/$name/utt2person"
  done
fi

if wanted 1; then    # log-FBANK, where a corpus has no features of its own
  mapfile -t with_features < <(printf '%s\n' "${extracted[@]}" "$train_data" | awk '!seen[$0]++')
  for name in "${with_features[@]}"; do
    data=$dir/data/$name
    ! has_own_features "$data" || continue
    run_step 1 "make_fbank $name" "$data/feats.scp" \
      make_fbank.sh --nj "$nj" --cmd "$cmd" --seed "$seed" \
      "$data" "$dir/fbank/$name/log" "$dir/fbank/$name"
  done
fi

# A model of the training speech; no labels are read.
if wanted 2 && [ -z "$model" ]; then
  train_on=$gpu_cmd
  ! without_network "$config" || train_on=$cmd    # needs no GPU
  run_step 2 train "$dir/model/final.ie.id" \
    train.sh --nj "$nj" --cmd "$train_on" --num-gpus "$num_gpus" --num-workers "$num_workers" \
    --config "${config#"$PWD/"}" --seed "$seed" \
    ${num_steps:+--num-steps "$num_steps"} ${max_minutes:+--max-minutes "$max_minutes"} \
    "$dir/data/$train_data" "$dir/model"
fi

if wanted 3 && $adapted; then    # its head, solved again for each corpus and its clusters
  for name in "${extracted[@]}"; do
    run_step 3 "adapt $name" "$dir/adapted/$name/final.ie.id" \
      adapt.sh --nj "$nj" --cmd "$cmd" --rounds "$rounds" --seed "$seed" \
      "$dir/data/$name" "$models" "$dir/adapted/$name"
  done
fi

if wanted 4; then    # i-vectors
  for name in "${extracted[@]}"; do
    ivectors=$(ivectors_of "$name")
    mapfile -t rows < <(rows_of "$name")
    run_step 4 "extract $name" "$ivectors/ivector_online.scp" \
      extract.sh --nj "$embed_nj" --cmd "$cmd" --use-gpu "$gpu" "${rows[@]}" \
      "$dir/data/$name" "$models" "$ivectors"
  done
fi

if wanted 5; then    # one vector per utterance
  for name in "${extracted[@]}"; do
    run_step 5 "embed_utterances $name" "$dir/embeddings/$name/embedding.scp" \
      embed_utterances.sh --nj "$embed_nj" --cmd "$cmd" --use-gpu "$gpu" \
      "$dir/data/$name" "$(model_for "$name")" "$dir/embeddings/$name"
  done
fi

if wanted 6; then    # speakers: clusters of utterances
  for name in "${clustered[@]}"; do
    data=$dir/data/$name clusters=$dir/clusters/$name options=()
    ! labelled "$data/$labels" || options=(--utt2spk "$data/$labels")
    # Copies of the training speech get the speaker of the original.
    [ "$name" != "$train_data" ] || [ -z "$recipe" ] || options+=(--data "$data")
    run_step 6 "cluster $name" "$clusters/clusters.json" \
      cluster.sh --cmd "$cmd" "${options[@]}" "$dir/embeddings/$name" "$clusters"
    mapfile -t sources < <(sources_of "$name")
    for source in "${sources[@]}"; do
      clustered_data=$dir/data/$(basename "$source")_clustered
      run_step 6 "make_clustered_data_dir $(basename "$source")" "$clustered_data/spk2utt" \
        make_clustered_data_dir.sh "$source" "$clusters" "$clustered_data"
    done
  done
fi

if wanted 7; then    # scores, where there are labels
  for name in "${scored[@]}"; do
    can_be_scored "$name" || continue
    run_step 7 "evaluate $name" "$dir/eval/$name/scores.json" \
      evaluate.sh --cmd "$cmd" --seed "$seed" --clusters "$dir/clusters/$name" \
      "$dir/embeddings/$name" "$dir/data/$name/$labels" "$dir/eval/$name"
  done
fi

if wanted 8; then
  report=$dir/report.html
  if $overwrite || [ ! -e "$report" ] || [ "$dir/log/stages.jsonl" -nt "$report" ]; then
    tied python3 -m unspeech.report --dir "$dir" --out "$report" \
      --corpora "${names[@]}" "$train_data" ${train_set:+"$train_set"}
  fi
  echo "$report"
fi
