#!/usr/bin/env bash
# A small recogniser of digit strings, made by a compiled Kaldi: GMMs, then chain TDNNs with what
# conf/systems.tsv lists beside their features. Every fold leaves speakers out to test on.
# docs/digits.md has results.
#
# Usage: local/digits/run.sh [options] --corpus <data-dir or folder of fsdd>
#  e.g.: local/digits/run.sh --corpus /corpora/free-spoken-digit-dataset/recordings
# Stages: 0 data, lexicon, language model; of every fold: 1 clusters by Unspeech  2 speakers, GMMs
# 3 rows  4 networks  5 table, <dir>/RESULTS.md
# Killed and started again with the same command, it resumes where it left off.
set -euo pipefail

. "$(dirname "$0")/../../path.sh"
. "$UNSPEECH_ROOT/cmd.sh"

corpus=            # spoken digits: a Kaldi data directory with text and utt2spk, or a folder of
                   # files called <digit>_<speaker>_<number>.wav
stage=0            # the first to run [integer 0 to 5]
nj=2               # jobs; never more than a data directory has speakers [integer 1 to 9999]
folds=3            # parts of the speakers, each of which is tested on once [integer >= 2]
systems=           # recognisers to make; default: conf/systems.tsv
seed=1             # of the folds, of Unspeech and of the first network [integer >= 0]
networks=1         # to train for each line of the list, with seeds from that one on; the table
                   # counts the errors of all [integer >= 1]
dir=exp/digits     # everything is in here
cmd=$train_cmd     # how jobs are run; see cmd.sh
# shellcheck disable=SC2269    # it makes an option of what cmd.sh has set
gpu_cmd=$gpu_cmd   # how networks are trained; see cmd.sh
overwrite=false    # forget what is there

. parse_options.sh
[ $# -eq 0 ] && [ -n "$corpus" ] || usage
gpu=false sizes='' settings=(folds="$folds")
. "$UNSPEECH_ROOT/local/chain/work_dir.sh"

if [ "$stage" -le 0 ]; then
  once data "$here/prepare.sh" --folds "$folds" --seed "$seed" "$corpus" data
  once data/lang "$UNSPEECH_ROOT/local/chain/lang.sh" --position-dependent-phones false \
    data/dict data/lm.arpa data/lang
fi
pairs=()
for ((fold = 1; fold <= folds; fold++)); do
  "$UNSPEECH_ROOT/local/chain/experiment.sh" --stage $((stage > 0 ? stage - 1 : 0)) --nj "$nj" \
    --cmd "$cmd" --gpu-cmd "$gpu_cmd" --seed "$seed" --networks "$networks" --systems "$systems" \
    "data/fold$fold" "exp/fold$fold"
  pairs+=("data/fold$fold:exp/fold$fold")
done

tied python3 "$UNSPEECH_ROOT/local/chain/results.py" --seed "$seed" --networks "$networks" \
  --systems "$systems" --out RESULTS.md "${pairs[@]}"
finish_step RESULTS.md
cat RESULTS.md
