# Sourced by run.sh: which corpora a run has, what they are called, and what is made of each.
# shellcheck shell=bash disable=SC2034,SC2154

# The name that a corpus has in this run: that by which it is given, were it a link's.
name_of() {
  local name
  name=$(basename "$(realpath -ms "$1")")
  echo "${name//[^A-Za-z0-9._-]/_}"
}

# Whether same-speaker and different-speaker pairs can be formed.
labelled() {
  awk '{ if (!($2 in count)) speakers++; if (count[$2]++) same = 1 }
    END { exit !(speakers > 1 && same) }' "$1"
}

# Whether a data directory has features that we have not made; says so.
has_own_features() {
  [ -s "$1/feats.scp" ] && [ ! -e "$1/.feats.scp.made_from" ] &&
    [ ! -e "$1/.feats.scp.making_from" ] && echo "$1 has the corpus's own features"
}

# Whether a corpus has labels to score on; says so if the training corpus has none. One that is
# given for scoring must have them: evaluate.sh says what is wrong with them.
can_be_scored() {
  [ "$1" != "$train" ] || labelled "$dir/data/$1/$labels" ||
    { echo "$1 has no speaker labels to score on"; return 1; }
}

# Where the i-vectors of a corpus are.
ivectors_of() {
  if [ -n "$recipe" ]; then echo "$dir/ivectors_$1_hires"; else echo "$dir/ivectors/$1"; fi
}

# Options of extract.sh for a corpus, a line each. In a recipe rows are those that gained in place of
# Kaldi's i-vectors (docs/wer.md), and made as these are: of all that the speaker has said so far, in
# training speech of every two utterances anew.
rows_of() {
  [ -n "$recipe" ] || return 0
  printf '%s\n' --average running
  ! without_network "$config" ||
    printf '%s\n' --causal true --feature-means true
  [ "$1" != "$train_data" ] || printf '%s\n' --utts-per-spk-max 2
}

# The data directories of a corpus that are to have clusters as speakers, a line each. In a recipe
# they are its own, with its features; of training speech that with copies and that without.
sources_of() {
  local name found=()
  if [ -n "$recipe" ]; then
    for name in "$1" $([ "$1" != "$train_data" ] || echo "$train_set"); do
      [ ! -s "data/$name/feats.scp" ] || found+=("data/$name")
    done
  fi
  printf '%s\n' "${found[@]:-$dir/data/$1}"
}

train=demo
[ -z "$corpus" ] || train=$(name_of "$corpus")
dir=${dir:-exp/$train}
declare -A joined=() source_of=([$train]=${corpus:+$(realpath -m "$corpus")})
names=("$train")
IFS=, read -ra evals <<< "$eval_corpus"
for each in "${evals[@]}"; do
  seconds=0
  if [[ $each =~ ^(.+):([^/:]*)$ && ! -e $each ]]; then
    each=${BASH_REMATCH[1]} seconds=${BASH_REMATCH[2]}
    check_option --eval-corpus "$seconds" 1 "[number > 0]"
  fi
  name=$(name_of "$each")
  [ -z "${source_of[$name]+set}" ] || die "two corpora are called '$name': rename a folder"
  source_of[$name]=$(realpath -m "$each") joined[$name]=$seconds
  names+=("$name")
done

for name in "${names[@]}"; do
  [ -z "${source_of[${name}_clustered]+set}" ] ||
    die "a corpus is called '${name}_clustered', as the clustered one of '$name': rename its folder"
done

train_data=$train
if $speed_perturb; then
  train_data=${train}_sp
  [ -z "${source_of[$train_data]+set}" ] || die "a corpus is called '$train_data': rename its folder"
fi

extracted=("${names[@]}") scored=("${names[@]}") labels=utt2spk
clustered=("${names[@]}")
if [ -n "$recipe" ]; then
  # Its networks are trained on all copies of the training speech; these need no scores.
  scored=("${names[@]:1}")
  extracted=("$train_data" "${scored[@]}")
  clustered=("${extracted[@]}")
  labels=utt2person
fi
