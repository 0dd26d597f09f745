#!/usr/bin/env bash
# Run the command of a queued job with what path.sh sets: queues pass on PATH and little else, and
# Kaldi's scripts source the path.sh of where they were called, which may be another recipe's.
# Whatever the job starts ends with it.
#
# Usage: job.sh <command> [<argument> ...]
set -euo pipefail

. "$(dirname "$0")/../../path.sh"
exec python3 -m unspeech.processes "$@"
