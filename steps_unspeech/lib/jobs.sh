# What the steps share to split their work into jobs and to join what those leave.
# shellcheck shell=bash

# scp_of <features> <dir>: the file itself, if it is a table of utterances; of an archive, .ark or
# .ark.gz, a table of its copy in <dir>.
scp_of() {
  local copy
  case $1 in
    *.ark | *.ark.gz)
      copy=$2/$(basename "$1")
      tied python3 -m unspeech.join_scps --out "$copy.scp" --ark "$copy.copy.ark" "$1" >&2
      echo "$copy.scp" ;;
    *) echo "$1" ;;
  esac
}

# split_scp <scp> <nj> <out-dir>: split into contiguous blocks whose sizes differ by one at most,
# <out-dir>/<name>.<JOB>.scp, as Kaldi's split_scp.pl does. Prints the number of jobs: fewer than
# <nj> if there are fewer lines.
split_scp() {
  local scp=$1 nj=$2 out=$3 name part lines
  name=$(basename "$scp" .scp)
  lines=$(awk 'END { print NR }' < "$scp")
  [ "$lines" -gt 0 ] || die "$scp: the file is empty"
  [ "$nj" -le "$lines" ] || nj=$lines
  mkdir -p "$out"
  part=$(mktemp -d "$out/.$name.XXXXXX")
  prefix=$part/$name awk -v lines="$lines" -v nj="$nj" '
    NR > limit { close(file); job++; limit += int(lines / nj) + (job <= lines % nj)
                 file = ENVIRON["prefix"] "." job ".scp" }
    { print > file }' < "$scp"
  rm -f "$out/$name".*.scp
  mv "$part"/* "$out"
  rmdir "$part"
  echo "$nj"
}

# job_files <pattern> <nj>: the pattern's files of all jobs, JOB replaced by 1 to nj, one a line.
job_files() {
  local job
  for ((job = 1; job <= $2; job++)); do
    echo "${1//JOB/$job}"
  done
}

# tied <command> [<argument> ...]: run a command that ends with this script, even by kill -9, and
# with it all that it has started.
tied() {
  python3 -m unspeech.processes "$@"
}

# as_word <text>: the text as a word of bash without white space, which Kaldi's runners leave as it is.
as_word() {
  local word
  printf -v word %q "$1"
  if [[ $word == "\$'"* ]]; then
    echo "${word// /\\x20}"
  else
    echo "${word//\\ /\$\'\\x20\'}"
  fi
}

# run_jobs [JOB=1:<nj>] <log> <command> [<argument> ...]: run jobs by the script's $cmd, with what
# path.sh sets. The one place where their command lines are made: Kaldi's runners leave words to
# bash, and replace JOB wherever they find it. Ours stands at the end of a name or before its ending.
run_jobs() {
  # shellcheck disable=SC2154    # every step that has jobs has this option
  local cmd=$cmd
  local jobs=() words=() word log status
  if [[ $1 == JOB=* ]]; then
    jobs=("$1")
    shift
    for word; do
      [[ $word =~ ^(.*[./])?JOB(\.[^/]*)?$ ]] && word=${BASH_REMATCH[1]}${BASH_REMATCH[2]}
      [[ $word != *JOB* ]] || die "$word: JOB stands for a job's number in the commands of jobs;" \
        "rename this file or folder"
    done
  fi
  log=$1
  shift
  if [[ ! $cmd =~ ^run_(local|slurm)\.py( |$) && $log =~ [^A-Za-z0-9_./+=:,@%~-] ]]; then
    die "$log: ${cmd%% *} cannot write to a file of such a name; use letters, digits and _ . - only"
  fi
  for word; do
    words+=("$(as_word "$word")")
  done
  # shellcheck disable=SC2086    # a runner and its options
  tied $cmd "${jobs[@]}" "$log" job.sh "${words[@]}" || {
    status=$?
    # They have ended, unless the runner was killed: what comes to stand under the names that they
    # have not written is somebody else's.
    [ "$status" -gt 128 ] || [ -z "${unspeech_output:-}" ] || state.py failed "$unspeech_output"
    return "$status"
  }
}

# join_jobs <pattern> <nj> <scp> [<ark>]: join the scp files of all jobs, sorted; with <ark>, copy
# what they point at into that one archive.
join_jobs() {
  local parts
  mapfile -t parts < <(job_files "$1" "$2")
  tied python3 -m unspeech.join_scps --out "$3" ${4:+--ark "$4"} "${parts[@]}"
}

# join_text <pattern> <nj> <out>: join the text files of all jobs, sorted.
join_text() {
  local parts
  mapfile -t parts < <(job_files "$1" "$2")
  sort "${parts[@]}" > "$3.part"
  mv "$3.part" "$3"
}

# pool_contexts <last-output> <data> <features> <model> <dir>: pool the utterances with the model, in
# the script's $nj jobs, and sum up what a head is solved from: <dir>/values.scp and <dir>/sums.*.npz.
# A recording's utterances are in one job. Sets $sums to the sums of all jobs.
pool_contexts() {
  local last=$1 data=$2 feats=$3 model=$4 dir=$5 job jobs
  mkdir -p "$dir"
  feats=$(scp_of "$feats" "$dir")
  job=$dir/$(basename "$feats" .scp).JOB
  tied python3 -m unspeech.solve contexts --feats "$feats" --data "$data" --out "$dir/contexts"
  # shellcheck disable=SC2154    # every step that calls this has the option
  jobs=$(tied python3 -m unspeech.speakers --feats "$feats" --utt2spk "$dir/contexts" \
    --nj "$nj" --out "$dir")
  run_jobs JOB=1:"$jobs" "$dir/log/pool.JOB.log" \
    once.py "$last" JOB "$job.scp" --leaves "$dir/sums.JOB.npz" --leaves "$dir/values.JOB.scp" \
    --leaves "$dir/values.JOB.ark" \
    python3 -m unspeech.solve sums --feats "$job.scp" --data "$data" --model "$model" \
    --contexts "$dir/contexts" --values "$dir/values.JOB.ark" --sums "$dir/sums.JOB.npz"
  join_jobs "$dir/values.JOB.scp" "$jobs" "$dir/values.scp" "$dir/values.ark"
  # shellcheck disable=SC2034    # for the script
  mapfile -t sums < <(job_files "$dir/sums.JOB.npz" "$jobs")
}
