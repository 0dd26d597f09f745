#!/usr/bin/env bash
# Make a data directory with every utterance and copies of it at 0.9 and 1.1 times the speed. Names of
# copies and of their speakers begin with sp0.9- and sp1.1-. Kaldi's own script does it if Kaldi and
# sox are installed and the script reads this kind of audio.
#
# Usage: steps_unspeech/perturb_speed.sh [options] <data-dir> <new-data-dir>
#  e.g.: steps_unspeech/perturb_speed.sh data/train data/train_sp
set -euo pipefail

. "$(dirname "$0")/../path.sh"

overwrite=false    # make it again, even if settings or inputs have changed

. parse_options.sh
[ $# -eq 2 ] || usage
data=$1
new_data=$2

require_files "$data/wav.scp"
inputs=("$data/wav.scp")
for name in segments utt2spk utt2uniq; do
  [ ! -e "$data/$name" ] || inputs+=("$data/$name")
done
begin_step "${new_data%/}/" -- "$data" "${inputs[@]}"

# Whether Kaldi's script can do it: of files it reads wav only, and it drops channels of segments.
kaldi_can() {
  [ -n "${KALDI_ROOT:-}" ] && command -v sox > /dev/null && command -v wav-to-duration > /dev/null &&
    ! grep -qviE '(\.wav|:[0-9]+|\|)[[:space:]]*$' "$data/wav.scp" &&
    { [ ! -e "$data/segments" ] || awk 'NF != 4 { exit 1 }' "$data/segments"; } &&
    [[ ! $(realpath -m "$new_data") =~ [^A-Za-z0-9_./+=:,@%~-] ]]    # it quotes no names
}

if kaldi_can; then
  work=$(realpath "$(dirname "$new_data")")/.$(basename "$new_data").kaldi
  rm -rf "$work"
  mkdir "$work"
  # A copy, since the script changes its input.
  tied python3 -m unspeech.corpus --out "$work/data" "$data"
  # It runs beside utils/. A recipe has that, and its pipes may hold paths relative to the recipe.
  place=.
  if [ ! -e utils/data/perturb_data_dir_speed_3way.sh ]; then
    place=$work
    ln -s "$KALDI_ROOT/egs/wsj/s5/utils" "$work/utils"
    : > "$work/path.sh"
  fi
  (cd "$place" && tied utils/data/perturb_data_dir_speed_3way.sh "$work/data" "$work/data_sp")
  tied python3 -m unspeech.perturb --made "$work/data_sp" --replace true --out "$new_data" "$data"
  rm -rf "$work"
else
  tied python3 -m unspeech.perturb --replace true --out "$new_data" "$data"
fi
finish_step "${new_data%/}/"
