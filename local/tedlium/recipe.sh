# What egs/tedlium/s5_r3 calls its data; sourced by local/recipe.sh.
# shellcheck shell=bash disable=SC2034
recipe_name=s5_r3
train_set=train_cleaned
test_sets=(dev test)
