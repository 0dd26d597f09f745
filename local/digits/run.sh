#!/usr/bin/env bash
# A small recogniser of digit strings, made by a compiled Kaldi: GMMs, then chain TDNNs without
# adaptation, with Kaldi's i-vectors and with Unspeech's; and again with clusters in place of the
# true speakers. Every fold leaves speakers out to test on. docs/digits.md has results.
#
# Usage: local/digits/run.sh [options] --corpus <data-dir or folder of fsdd>
#  e.g.: local/digits/run.sh --corpus /corpora/free-spoken-digit-dataset/recordings
# Stages, of every fold: 0 data  1 GMMs  2 Unspeech: model, i-vectors, clusters  3 TDNNs
# 4 GMMs and a TDNN with clusters as speakers  5 table, <dir>/RESULTS.md
# Killed and started again with the same command, it goes on where it was.
set -euo pipefail

. "$(dirname "$0")/../../path.sh"
. "$UNSPEECH_ROOT/cmd.sh"

corpus=            # spoken digits: a Kaldi data directory with text and utt2spk, or a folder of
                   # files called <digit>_<speaker>_<number>.wav
stage=0            # the first to run [integer 0 to 5]
nj=2               # jobs; never more than a data directory has speakers [integer 1 to 9999]
folds=3            # parts of the speakers, each of which is tested on once [integer >= 2]
seed=1             # of the folds, of Unspeech and of the networks [integer >= 0]
dir=exp/digits     # everything is in here
cmd=$train_cmd     # how jobs are run; see cmd.sh
overwrite=false    # forget what is there

. parse_options.sh
[ $# -eq 0 ] && [ -n "$corpus" ] || usage

[ -n "${KALDI_ROOT:-}" ] || die "this needs a compiled Kaldi: set KALDI_ROOT"
missing=()
for program in fstcompile compute-mfcc-feats compile-train-graphs gmm-est arpa2fst fsttablecompose \
  lattice-best-path ivector-extractor-est ivector-extract-online2 nnet-get-feature-transform \
  nnet3-am-init nnet3-latgen-faster nnet3-chain-get-egs nnet3-chain-train; do
  command -v "$program" > /dev/null || missing+=("$program")
done
[ ${#missing[@]} -eq 0 ] || die "no ${missing[*]} in $KALDI_ROOT or on PATH: compile Kaldi there," \
  "first tools, then src"
[ -d "$corpus" ] || die "$corpus: no such directory"

corpus=$(realpath "$corpus")
! $overwrite || rm -rf "$dir"/{data,exp,log}
mkdir -p "$dir"
cd "$dir"
begin_step RESULTS.md corpus="$corpus" folds="$folds" seed="$seed"
here=$UNSPEECH_ROOT/local/digits
steps=$UNSPEECH_ROOT/steps_unspeech
mkdir -p local
ln -sfn "$KALDI_ROOT"/egs/wsj/s5/{steps,utils} "$here"/{conf,path.sh} .
ln -sfn ../steps/score_kaldi.sh local/score.sh
. ./path.sh
export OPENBLAS_NUM_THREADS=1    # jobs are as many as the machine can bear

if [ "$stage" -le 0 ]; then
  once data tied python3 "$here/make_folds.py" --folds "$folds" --seed "$seed" --out data "$corpus"
  once data/lang "$here/lang.sh" data/lang
fi

for ((fold = 1; fold <= folds; fold++)); do
  data=data/fold$fold exp=exp/fold$fold
  if [ "$stage" -le 1 ]; then
    "$here/gmm.sh" --nj "$nj" --cmd "$cmd" "$data" "$exp"
  fi
  if [ "$stage" -le 2 ]; then
    once "$exp/unspeech" "$UNSPEECH_ROOT/run.sh" --nj "$nj" --cmd "$cmd" --seed "$seed" \
      --corpus "$data/train" --eval-corpus "$data/test" --dir "$exp/unspeech"
  fi
  if [ "$stage" -le 3 ]; then
    "$here/copies.sh" --nj "$nj" --cmd "$cmd" --seed "$seed" "$data"
    "$here/ivectors.sh" --nj "$nj" --cmd "$cmd" "$data" "$exp"
    once "$data/train_aug_fbank" "$steps/import_corpus.sh" "$data/train_aug" "$data/train_aug_fbank"
    once "$data/train_aug_fbank/fbank" "$steps/make_fbank.sh" --nj "$nj" --cmd "$cmd" \
      "$data/train_aug_fbank" "$data/train_aug_fbank"/{log,fbank}
    once "$exp/unspeech/ivectors/train_aug" "$steps/extract.sh" --nj "$nj" --cmd "$cmd" \
      "$data/train_aug_fbank" "$exp/unspeech/model" "$exp/unspeech/ivectors/train_aug"
    for ivectors in "" "$exp/ivectors" "$exp/unspeech/ivectors"; do
      "$here/chain.sh" --nj "$nj" --cmd "$cmd" --seed "$seed" --ivectors "$ivectors" "$data" "$exp"
    done
  fi
  if [ "$stage" -le 4 ]; then
    for part in train test; do
      [ -e "${data}_clusters/$part" ] || { mkdir -p "${data}_clusters" &&
        cp -r "$exp/unspeech/data/${part}_clustered" "${data}_clusters/$part"; }
    done
    "$here/gmm.sh" --nj "$nj" --cmd "$cmd" "${data}_clusters" "${exp}_clusters"
    "$here/copies.sh" --nj "$nj" --cmd "$cmd" --seed "$seed" "${data}_clusters"
    "$here/ivectors.sh" --nj "$nj" --cmd "$cmd" "${data}_clusters" "${exp}_clusters"
    "$here/chain.sh" --nj "$nj" --cmd "$cmd" --seed "$seed" \
      --ivectors "${exp}_clusters/ivectors" "${data}_clusters" "${exp}_clusters"
  fi
done

tied python3 "$here/results.py" --folds "$folds" --dir . --out RESULTS.md
finish_step RESULTS.md
cat RESULTS.md
