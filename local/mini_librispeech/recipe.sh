# What egs/mini_librispeech/s5 calls its data; sourced by local/recipe.sh.
# shellcheck shell=bash disable=SC2034
recipe_name=s5
train_set=train_clean_5
test_sets=(dev_clean_2)
# Its speakers are chapters, lbi-<reader>-<chapter>: local/data_prep.sh. A person is a reader.
speaker_to_person='s/ \(\(sp[0-9.]*-\)\{0,1\}lbi-[0-9]*\)-[0-9]*$/ \1/'
