# Sourced by run.sh: the Kaldi recipe that it works on, if any, sets the defaults of its options.
# What a recipe calls its data is in local/<corpus>/recipe.sh; another recipe needs such a file.
# shellcheck shell=bash disable=SC2034,SC2154

[ -z "$recipe" ] || [ -d "$recipe" ] || die "$recipe: no such directory"
for place in "${recipe:-$UNSPEECH_PLACE}" "$(realpath -m "${recipe:-$UNSPEECH_ROOT}")"; do
  egs=$(dirname "$(realpath -ms "$place")")    # egs/<corpus>
  known=$UNSPEECH_ROOT/local/$(basename "$egs")/recipe.sh
  [ ! -e "$known" ] || break
done
if [ -e "$known" ]; then
  # shellcheck source=local/tedlium/recipe.sh
  . "$known"
  if [ -z "$recipe$corpus" ] && [ -d "$egs/$recipe_name" ]; then
    recipe=$egs/$recipe_name
  fi
elif [ -n "$recipe" ]; then
  die "$known: no such file; it must name the data of $recipe, see local/tedlium/recipe.sh"
fi

if [ -n "$recipe" ]; then
  [ -z "$corpus$eval_corpus" ] || die "the corpora are those of $recipe; leave out --recipe or" \
    "--corpus and --eval-corpus"
  [ -z "$config" ] || config=$(realpath -m "$config")
  [ -z "$dir" ] || dir=$(realpath -m "$dir")
  cd "$recipe" || exit    # paths in a recipe's files are relative to it

  config=${config:-$UNSPEECH_ROOT/conf/recogniser.yaml}
  dir=${dir:-exp/nnet3_unspeech}
  corpus=data/${train_set}_sp
  if $speed_perturb || [ ! -e "$corpus/wav.scp" ]; then
    corpus=data/$train_set
    speed_perturb=true
  fi
  [ -e "$corpus/wav.scp" ] || die "$PWD/$corpus: no data yet; run the recipe's own run.sh first," \
    "or give another --corpus"
  eval_corpus=$(printf ',data/%s' "${test_sets[@]}")
  eval_corpus=${eval_corpus#,}
fi
