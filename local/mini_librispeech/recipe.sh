# What egs/mini_librispeech/s5 calls its data; sourced by local/recipe.sh.
# shellcheck shell=bash disable=SC2034
recipe_name=s5
train_set=train_clean_5
test_sets=(dev_clean_2)
