# Command line options, as with Kaldi's script of this name: sourced after the script has given
# its options their defaults, it turns `--some-name value` into some_name=value.
# shellcheck shell=bash
#
# Options are the variables that the script assigns at the start of a line, in lower case, before
# the line that sources this file; nothing else can be set, whatever the environment holds. `-` and
# `_` are the same in a name; `--name=value` works too. `--help` prints the head of the script.
#
# An option whose default is true or false, or an integer, takes only such values. Its comment says
# in brackets what else is allowed:
#   [integer >= 1]  [integers >= 2]  [number > 0]  [number 0 to 1]  [own|nearest|leave-out]
# `integers` are separated by commas. Where the default is empty, so may the value be.

# Kaldi's own scripts, called by ours, find this one first.
# shellcheck source=steps_unspeech/lib/functions.sh
declare -F list_options > /dev/null || . "$(dirname "${BASH_SOURCE[0]}")/functions.sh"

# check_option <option> <value> <default> <comment>
check_option() {
  local option=$1 value=$2 default=$3 kind="" good=true part
  local integer='-?(0|[1-9][0-9]{0,8})' number='[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?'
  [[ ! $4 =~ \[([^]]+)\] ]] || kind=${BASH_REMATCH[1]}
  [ -n "$value" ] || [ -n "$default" ] || return 0
  if [[ $default =~ ^(true|false)$ ]]; then
    kind="true|false"
  elif [[ -z $kind && $default =~ ^-?[0-9]+$ ]]; then
    kind=integer
  elif [[ $option =~ cmd$ && -z $value ]]; then
    die "$0: option $option is empty"    # else the log file's name would be run as a command
  fi
  case $kind in
    '') return ;;
    *'|'*)
      [[ "|$kind|" == *"|$value|"* && $value != *'|'* ]] ||
        die "$0: option $option takes ${kind//|/ or }, not '$value'"
      return ;;
    integers*) [[ $value =~ ^$integer(,$integer)*$ ]] || good=false ;;
    integer*) [[ $value =~ ^$integer$ ]] || good=false ;;
    number*) [[ $value =~ ^$number$ ]] || good=false ;;
  esac
  for part in ${value//,/ }; do
    ! $good || awk -v value="$part" -v kind="$kind" 'BEGIN {
      value += 0
      count = split(kind, word, " ")
      if (count == 3) ok = word[2] == ">" ? value > word[3] + 0 : value >= word[3] + 0
      else if (count == 4) ok = word[2] + 0 <= value && value <= word[4] + 0
      else ok = 1
      exit !ok }' || good=false
  done
  case $kind in
    integers*) ;;
    integer*) kind="an $kind" ;;
    *) kind="a $kind" ;;
  esac
  $good || die "$0: option $option takes $kind, not '$value'"
}

unspeech_options=$'\n'$(list_options)
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) usage 0 ;;
    --) shift; break ;;
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    --*) ;;
    -?*) die "$0: unknown option $1; see $0 --help" ;;
    *) break ;;
  esac
  unspeech_name=${1#--}
  unspeech_name=${unspeech_name//-/_}
  [[ $unspeech_options == *$'\n'"$unspeech_name"$'\t'* ]] ||
    die "$0: unknown option $1$(answer_of "$unspeech_name"); see $0 --help"
  [ $# -ge 2 ] || die "$0: option $1 needs a value"
  unspeech_line=${unspeech_options#*$'\n'"$unspeech_name"$'\t'}
  unspeech_line=${unspeech_line%%$'\n'*}    # its default, a tab and its comment
  check_option "$1" "$2" "${unspeech_line%%$'\t'*}" "${unspeech_line#*$'\t'}"
  printf -v "$unspeech_name" '%s' "$2"
  shift 2
done
unset unspeech_options unspeech_name unspeech_line
