#!/usr/bin/env bash
# A recogniser of English read by learners, SpeechOcean762, made by a compiled Kaldi: GMMs, then
# chain TDNNs with what conf/systems.tsv lists beside their features: nothing, Kaldi's i-vectors,
# Unspeech's rows, both; with the true speakers, with clusters for speakers, and with none known.
# docs/wer.md has results.
#
# Usage: local/speechocean762/run.sh [options] --corpus <folder>
#  e.g.: local/speechocean762/run.sh --corpus /corpora/speechocean762
# Stages: 0 data, lexicon, language model  1 clusters by Unspeech  2 speakers, GMMs  3 rows
# 4 networks  5 table, <dir>/RESULTS.md
# Killed and started again with the same command, it resumes where it left off.
set -euo pipefail

. "$(dirname "$0")/../../path.sh"
. "$UNSPEECH_ROOT/cmd.sh"

corpus=            # the published folder: WAVE, train, test, resource
stage=0            # the first to run [integer 0 to 5]
nj=2               # jobs; never more than a data directory has speakers [integer 1 to 9999]
held_out=0         # test on so many speakers of the training part, to choose settings
                   # [integer 0 to 124]
systems=           # recognisers to make; default: conf/systems.tsv
sizes=             # file that says which sizes differ from conf/sizes.sh; for trials:
                   # conf/sizes_quick.sh
gpu=false          # train networks on GPUs, by default of the sizes of Kaldi's own recipes
seed=1             # of Unspeech and of the first network [integer >= 0]
networks=1         # to train for each line of the list, with seeds from that one on; the table
                   # counts the errors of all [integer >= 1]
dir=exp/speechocean762    # everything is in here
cmd=$train_cmd     # how jobs are run; see cmd.sh
# shellcheck disable=SC2269    # it makes an option of what cmd.sh has set
gpu_cmd=$gpu_cmd   # how networks are trained; see cmd.sh
overwrite=false    # forget what is there

. parse_options.sh
[ $# -eq 0 ] && [ -n "$corpus" ] || usage
settings=(held_out="$held_out" gpu="$gpu")
. "$UNSPEECH_ROOT/local/chain/work_dir.sh"

if [ "$stage" -le 0 ]; then
  once data "$here/prepare.sh" --held-out "$held_out" "$corpus" data
  once data/lang "$UNSPEECH_ROOT/local/chain/lang.sh" data/dict data/lm.arpa data/lang
fi
"$UNSPEECH_ROOT/local/chain/experiment.sh" --stage $((stage > 0 ? stage - 1 : 0)) --nj "$nj" \
  --cmd "$cmd" --gpu-cmd "$gpu_cmd" --gpu "$gpu" --seed "$seed" --networks "$networks" \
  --systems "$systems" data exp

tied python3 "$UNSPEECH_ROOT/local/chain/results.py" --seed "$seed" --networks "$networks" \
  --systems "$systems" --out RESULTS.md data:exp
finish_step RESULTS.md
cat RESULTS.md
