/** What each shell runs when Tab is pressed: all of them ask `elder-node __complete`. */

/** bash 3.2 (macOS) has no compopt: names of files then come without their quotes. */
const BASH = `# bash completion for elder-node
_elder_node () {
  local line files=
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then files=1; else COMPREPLY+=("\${line%%$'\\t'*}"); fi
  done < <("$1" __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  if [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}")
  fi
}
complete -F _elder_node elder-node
`

const ZSH = `#compdef elder-node
# zsh completion for elder-node
_elder_node () {
  local line files=
  local -a found
  while IFS= read -r line; do
    if [[ $line == :files ]]; then files=1; else found+=("\${line%%$'\\t'*}:\${line#*$'\\t'}"); fi
  done < <("$words[1]" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  (( $#found )) && _describe -t elder-node 'elder-node' found
  [[ -n $files ]] && _files
  (( $#found )) || [[ -n $files ]]
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _elder_node "$@"; else compdef _elder_node elder-node; fi
`

const FISH = `# fish completion for elder-node
function __elder_node_complete
  set -l tokens (commandline -opc)
  set -l program $tokens[1]
  set -e tokens[1]
  set -l current (commandline -ct)
  for line in ($program __complete $tokens "$current" 2>/dev/null)
    if test "$line" = :files
      __fish_complete_path "$current"
    else
      printf '%s\\n' $line
    end
  end
end
complete -c elder-node -f -a '(__elder_node_complete)'
`

export const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH }
