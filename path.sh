# Sourced by every script: puts .venv, our programs and, if there is one, Kaldi on PATH.
# shellcheck shell=bash

UNSPEECH_PLACE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)    # its name, were it a link
UNSPEECH_ROOT=$(cd "$UNSPEECH_PLACE" && pwd -P)
export UNSPEECH_ROOT

# Kaldi: where KALDI_ROOT says, or three levels up (egs/<corpus>/<this checkout>), or none.
for unspeech_dir in "$UNSPEECH_PLACE" "$UNSPEECH_ROOT"; do
  unspeech_dir=$(dirname "$(dirname "$(dirname "$unspeech_dir")")")
  if [ -z "${KALDI_ROOT:-}" ] && [ -d "$unspeech_dir/egs/wsj/s5/utils" ]; then
    KALDI_ROOT=$unspeech_dir
  fi
done
unset unspeech_dir
if [ -n "${KALDI_ROOT:-}" ]; then
  if [ ! -d "$KALDI_ROOT/egs/wsj/s5/utils" ]; then
    echo "ERROR: KALDI_ROOT=$KALDI_ROOT has no egs/wsj/s5/utils; correct it or unset it" >&2
    return 1
  fi
  export KALDI_ROOT
  PATH=$KALDI_ROOT/egs/wsj/s5/utils:$KALDI_ROOT/egs/wsj/s5/utils/parallel:$PATH
  for unspeech_dir in "$KALDI_ROOT"/src/*bin "$KALDI_ROOT"/tools/{openfst/bin,sph2pipe_v2.5}; do
    [ -d "$unspeech_dir" ] && PATH=$PATH:$unspeech_dir
  done
  unset unspeech_dir
fi

PATH=$UNSPEECH_ROOT/steps_unspeech/lib:$PATH   # ours first: parse_options.sh is Kaldi's name too
export PATH=$UNSPEECH_ROOT/.venv/bin:$PATH
export PYTHONPATH=$UNSPEECH_ROOT/python${PYTHONPATH:+:$PYTHONPATH}
export LC_ALL=C               # the order of every sorted file, as Kaldi wants it
export PYTHONUTF8=1           # names and transcripts are UTF-8 all the same
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}

shopt -s inherit_errexit      # a command that fails in $(…) ends the script, too

# shellcheck source=steps_unspeech/lib/functions.sh
. "$UNSPEECH_ROOT/steps_unspeech/lib/functions.sh"
# shellcheck source=steps_unspeech/lib/jobs.sh
. "$UNSPEECH_ROOT/steps_unspeech/lib/jobs.sh"
# shellcheck source=steps_unspeech/lib/outputs.sh
. "$UNSPEECH_ROOT/steps_unspeech/lib/outputs.sh"
