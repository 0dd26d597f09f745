# Sourced by the run.sh of a recipe after its options: checks that Kaldi is there, and goes to the
# work directory, which it makes look like one of Kaldi's.
# shellcheck shell=bash disable=SC2154

here=$(cd "$(dirname "$0")" && pwd)
[ -n "${KALDI_ROOT:-}" ] || die "this needs a compiled Kaldi: set KALDI_ROOT"
missing=()
for program in fstcompile compute-mfcc-feats compile-train-graphs gmm-est arpa2fst fsttablecompose \
  lattice-best-path apply-cmvn-online ivector-extractor-est ivector-extract-online2 paste-feats \
  nnet-get-feature-transform nnet3-am-init nnet3-latgen-faster nnet3-chain-get-egs \
  nnet3-chain-train; do
  command -v "$program" > /dev/null || missing+=("$program")
done
[ ${#missing[@]} -eq 0 ] || die "no ${missing[*]} in $KALDI_ROOT or on PATH: compile Kaldi there," \
  "first tools, then src"
[ -d "$corpus" ] || die "$corpus: no such directory"
! $overwrite || [ "$stage" -eq 0 ] || die "--overwrite true forgets what all stages have made: leave" \
  "out --stage"

corpus=$(realpath "$corpus")
systems=$(realpath "${systems:-$here/conf/systems.tsv}")
all_sizes=("$here/conf/sizes.sh")    # a later file counts, and says only what differs
! $gpu || all_sizes+=("$here/conf/sizes_gpu.sh")
[ -z "$sizes" ] || all_sizes+=("$(realpath "$sizes")")
require_files "$systems" "${all_sizes[@]}"
mkdir -p "$dir"
cd "$dir" || exit
if [ ! -e .RESULTS.md.made_from ] && [ ! -e .RESULTS.md.making_from ]; then
  for file in data exp log conf local path.sh sizes.sh; do
    [ ! -e "$file" ] || die "$PWD/$file is there already, and was not made by this recipe; give" \
      "another --dir"
  done
fi
known=(.RESULTS.md.made_from .RESULTS.md.making_from)
# What was begun by an earlier version lacks it.
if $overwrite || grep -qs '^files ' "${known[@]}" || ! grep -qs '^corpus ' "${known[@]}"; then
  found=$(find -L "$corpus" -type f -printf '%P %s\n' 2> /dev/null | sort | md5sum) || true
  settings+=(files="md5:${found%% *}")
fi
begin_step RESULTS.md corpus="$corpus" seed="$seed" "${settings[@]}" \
  sizes="$(cat "${all_sizes[@]}" "$here"/conf/*.conf | md5sum)" +networks="$networks" \
  +systems="$(md5sum < "$systems")"
if $overwrite || [ -e .overwriting ]; then
  touch .overwriting    # killed in between, the rest goes as well
  rm -rf data exp log
  rm .overwriting
fi
mkdir -p local
ln -sfn "$KALDI_ROOT"/egs/wsj/s5/{steps,utils} "$here/conf" "$UNSPEECH_ROOT/local/chain/path.sh" .
cat "${all_sizes[@]}" > sizes.sh.new
mv sizes.sh.new sizes.sh
ln -sfn ../steps/score_kaldi.sh local/score.sh
. ./path.sh
export OPENBLAS_NUM_THREADS=1    # jobs are as many as the machine can bear
