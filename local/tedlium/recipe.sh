# What egs/tedlium/s5_r3 calls its data; sourced by local/recipe.sh.
# shellcheck shell=bash disable=SC2034,SC2154
recipe_name=s5_r3
train_set=train_cleaned
test_sets=(dev test)
# Its speakers are three minutes of a talk each, <talk>-<number>: run.sh calls
# utils/data/modify_speaker_info.sh. A person is a talk; other names stay whole.
speaker_to_person='s/-[0-9]\{1,2\}$//'

case $(basename "$(realpath -m "${recipe:-$recipe_name}")") in
  s5 | s5_r2 | s5_r2_wsj)
    die "$recipe: its run_tdnn.sh looks for i-vectors that run.sh does not make, in s5_r2 of short" \
      "utterances joined (ivectors_${train_set}_sp_hires_comb); use ../$recipe_name, or call the" \
      "steps in your own recipe, see docs/kaldi.md"
    ;;
esac
