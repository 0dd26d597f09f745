# Command line options, as with Kaldi's script of this name: sourced after the script has given
# its options their defaults, it turns `--some-name value` into some_name=value.
# shellcheck shell=bash
#
# Options are the variables that the script assigns at the start of a line, in lower case, before
# the line that sources this file; nothing else can be set, whatever the environment holds. `-` and
# `_` are the same in a name; `--name=value` works too. An option whose default is true or false,
# or an integer, takes only such values. `--help` prints the head of the script.

unspeech_options=" $(sed -n '/parse_options\.sh/q; s/^\([a-z][a-z0-9_]*\)=.*/\1/p' "$0" | paste -sd ' ') "
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
  case $unspeech_options in
    *" $unspeech_name "*) ;;
    *) die "$0: unknown option $1$(answer_of "$unspeech_name"); see $0 --help" ;;
  esac
  [ $# -ge 2 ] || die "$0: option $1 needs a value"
  if [[ ${!unspeech_name} =~ ^(true|false)$ && ! $2 =~ ^(true|false)$ ]]; then
    die "$0: option $1 takes true or false, not '$2'"
  elif [[ ${!unspeech_name} =~ ^-?[0-9]+$ && ! $2 =~ ^-?[0-9]+$ ]]; then
    die "$0: option $1 takes an integer, not '$2'"
  elif [[ $unspeech_name =~ cmd$ && -z $2 ]]; then
    die "$0: option $1 is empty"    # else the log file's name would be run as a command
  fi
  printf -v "$unspeech_name" '%s' "$2"
  shift 2
done
unset unspeech_options unspeech_name
