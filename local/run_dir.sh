# Sourced by run.sh: takes the directory of the run, refuses another run's, and runs steps in it.
# shellcheck shell=bash disable=SC2034,SC2154

if [ -n "$model" ] && { [ -n "$given_config$max_minutes$num_steps" ] || $speed_perturb; }; then
  die "--model is not trained: leave out --config, --max-minutes, --num-steps and --speed-perturb"
fi
require_files "$config"
keep_apart "$dir" "${source_of[@]}"
said=$(mkdir -p "$dir/log" 2>&1) || die "$said; give another --dir"
lock_dir "$dir/.lock" "$dir"

if [ -n "$model" ]; then
  [ -z "$recipe" ] || die "--model is not for recipes: their network learns from their own speech"
  model=$(model_of "$model")
  require_files "$model/final.ie.id" "$model/config.yaml"
  config=$model/config.yaml
  model=$(realpath "$model")
fi
settings="corpus ${source_of[$train]:-demo}
config $(basename "$config") $(file_key "$config")
seed $seed${model:+
model $model $(cat "$model/final.ie.id")}"
models=$dir/model
[ -z "$model" ] || models=$model
! $speed_perturb || settings+=$'\nspeed_perturb true'
if [ -s "$dir/log/stages.jsonl" ] && [ -e "$dir/run.settings" ] &&
  { ! $overwrite || [ "$stage" -gt 0 ]; }; then
  difference=$(differences "$settings" "$dir/run.settings")
  [ -z "$difference" ] || die "$dir is another run's: $difference; give another --dir, or" \
    "--overwrite true from stage 0 on to make everything again"
else    # nothing of another run is there yet, or it is to be replaced
  echo "$settings" > "$dir/run.settings.part"
  mv "$dir/run.settings.part" "$dir/run.settings"
fi

# run_step <stage> <name> <last-output> <script> [<argument> ...]
run_step() {
  local script=$UNSPEECH_ROOT/steps_unspeech/$4 options=()
  ! $overwrite || options=(--overwrite true)
  run_stage.py "$dir/log/stages.jsonl" "$1" "$2" "$3" \
    "${script#"$PWD/"}" "${options[@]}" "${@:5}"
}

# Whether a stage is among those asked for.
wanted() {
  [ "$stage" -le "$1" ] && [ "$1" -le "$stop_stage" ]
}

# A trained head stays as it is; one that is solved is solved again for each corpus.
adapted=false
if [ "$rounds" -ge 0 ] && sets_true solve_head "$config"; then adapted=true; fi

# The model that embeds a corpus for clustering.
model_for() {
  if $adapted; then echo "$dir/adapted/$1"; else echo "$models"; fi
}
