#!/usr/bin/env bash
# Leave the rows that a network sees beside the features in <exp-dir>/rows/<name>/{train_aug,test},
# as i-vector directories. <name> is `ivectors`, a name of conf/rows.tsv, or several joined by `+`,
# whose rows stand side by side. conf/rows.tsv has a line for each kind of Unspeech's rows, with tabs
# between: name, model, settings of its training, options of extract.sh in training and in the test;
# - is none. The model is a config, trained on train_aug without labels, or a trained one's name.
#
# Usage: local/chain/rows.sh [options] <name> <data-dir> <exp-dir>
set -euo pipefail

. "$(dirname "$0")/../../path.sh"

nj=2
cmd=run.pl
seed=1
models=            # where models are, for all speakers' data directories

. parse_options.sh
[ $# -eq 3 ] || usage
. ./path.sh
# shellcheck source=local/digits/conf/sizes.sh
. ./sizes.sh
name=$1
data=$2
dir=$3
steps=$UNSPEECH_ROOT/steps_unspeech
options=(--nj "$nj" --cmd "$cmd")

# Rows of several directories beside one another; the id says which they are. `once` calls it, so that
# a command that fails does not end it by itself.
side_by_side() {
  local new=$1 parts=("${@:2}") inputs=() part
  mkdir -p "$new"
  for part in "${parts[@]}"; do inputs+=("scp:$part/ivector_online.scp"); done
  paste-feats --length-tolerance=1 "${inputs[@]}" \
    "ark,scp:$PWD/$new/ivector_online.ark,$PWD/$new/ivector_online.scp" || return
  cmp <(cut -d ' ' -f 1 "${parts[0]}/ivector_online.scp" | sort) \
    <(cut -d ' ' -f 1 "$new/ivector_online.scp" | sort) || return
  cp "${parts[0]}/ivector_period" "$new" || return
  for part in "${parts[@]}"; do cat "$part/final.ie.id"; done | md5sum | cut -d ' ' -f 1 \
    > "$new/final.ie.id"
}

if [ "$name" = ivectors ]; then
  exec "$UNSPEECH_ROOT/local/chain/ivectors.sh" "${options[@]}" "$data" "$dir"
fi
if [[ $name == *+* ]]; then
  IFS=+ read -ra parts <<< "$name"
  for part in "${parts[@]}"; do
    "$0" "${options[@]}" --seed "$seed" --models "$models" "$part" "$data" "$dir"
  done
  for part in train_aug test; do
    inputs=("${parts[@]/#/$dir/rows/}")
    once "$dir/rows/$name/$part" side_by_side "$dir/rows/$name/$part" "${inputs[@]/%//$part}"
  done
  exit
fi

line=$(awk -F '\t' -v name="$name" '$1 == name' conf/rows.tsv)
[ -n "$line" ] || die "conf/rows.tsv: no rows are called '$name'"
IFS=$'\t' read -r _ config settings in_training in_test <<< "$line"
[ "$settings" != - ] || settings=
made_by=${models:-$dir/rows}/$name.line
now=$line
[[ $config != */* ]] || now+=$'\n'$(md5sum < "$UNSPEECH_ROOT/$config")
[ ! -e "$made_by" ] || [[ $(cat "$made_by") == @("$now"|"$line") ]] ||
  die "conf/rows.tsv: the line of '$name', or its config, is another one than that which its rows were" \
    "made by: give the new one another name"
mkdir -p "$(dirname "$made_by")"
echo "$now" > "$made_by"
model=$config
if [[ $config == */* ]]; then
  model=$models/$name
  once "$model" "$steps/train.sh" "${options[@]}" --config "$UNSPEECH_ROOT/$config" \
    --seed "$seed" --max-minutes "$model_minutes" --train-opts "$settings" \
    "$data/train_aug_fbank" "$model"
fi
for part in train_aug test; do
  how=$in_training
  [ $part = train_aug ] || how=$in_test
  rows=()
  [ "$how" = - ] || split_words rows "$how"
  once "$dir/rows/$name/$part" "$steps/extract.sh" "${options[@]}" "${rows[@]}" \
    "$data/${part}_fbank" "$model" "$dir/rows/$name/$part"
done
