# How jobs are run; sourced by run.sh after path.sh. Set train_cmd or gpu_cmd in the environment,
# or give run.sh --cmd and --gpu-cmd, to choose another way.
# shellcheck shell=bash

if command -v queue.pl > /dev/null && command -v qsub > /dev/null; then
  unspeech_cmd="queue.pl --mem 4G" unspeech_gpu=" --gpu 1"
elif command -v slurm.pl > /dev/null && command -v sbatch > /dev/null; then
  unspeech_cmd="slurm.pl --mem 4G" unspeech_gpu=" --gpu 1"
elif command -v run.pl > /dev/null; then
  unspeech_cmd=run.pl unspeech_gpu=
else
  unspeech_cmd=run_local.py unspeech_gpu=    # steps_unspeech/lib: needs no Kaldi
fi
export train_cmd=${train_cmd:-$unspeech_cmd}
export gpu_cmd=${gpu_cmd:-$unspeech_cmd$unspeech_gpu}
unset unspeech_cmd unspeech_gpu
