# How jobs are run; sourced by run.sh after path.sh. Edit it for your site. Or set train_cmd and
# gpu_cmd in the environment, or give run.sh --cmd and --gpu-cmd.
# shellcheck shell=bash

# local   on this machine
# slurm   by Slurm's sbatch; conf/slurm.conf says how to ask for memory and GPUs
# sge     by Grid Engine's qsub, which needs Kaldi's queue.pl; see conf/queue.conf
unspeech_queue=${UNSPEECH_QUEUE:-local}

# Kaldi's script where there is one, else ours in steps_unspeech/lib. `--mem` is that of a job.
case $unspeech_queue in
  local)
    unspeech_cmd=$(command -v run.pl > /dev/null && echo run.pl || echo run_local.py)
    unspeech_gpu= ;;
  slurm)
    unspeech_cmd=$(command -v slurm.pl > /dev/null && echo slurm.pl || echo run_slurm.py)
    unspeech_cmd+=" --config $UNSPEECH_ROOT/conf/slurm.conf --mem 4G"
    unspeech_gpu=" --gpu 1" ;;
  sge)
    unspeech_cmd="queue.pl --config $UNSPEECH_ROOT/conf/queue.conf --mem 4G"
    unspeech_gpu=" --gpu 1" ;;
  *)
    echo "ERROR: cmd.sh: unspeech_queue is '$unspeech_queue'; it may be local, slurm or sge" >&2
    return 1 ;;
esac
export train_cmd=${train_cmd:-$unspeech_cmd}
export gpu_cmd=${gpu_cmd:-$unspeech_cmd$unspeech_gpu}
unset unspeech_queue unspeech_cmd unspeech_gpu
