#!/usr/bin/env bash
# Write an audio file of any kind to standard output as WAV, which Kaldi's programs read: in wav.scp,
# <this script> [--channel <number>] <file> |
set -euo pipefail

. "$(dirname "$0")/../../path.sh"
exec python3 -m unspeech.audio_file "$@"
