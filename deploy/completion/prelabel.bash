# bash completion of prelabel: commands and options are those of `prelabel help`.
_prelabel() {
    local cur=${COMP_WORDS[COMP_CWORD]} prelabel=${COMP_WORDS[0]} words
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        words="$("$prelabel" help 2>/dev/null | sed -n 's/^prelabel \([a-z]*\) .*/\1/p') --help --version"
    elif [ "${COMP_WORDS[1]}" = help ]; then
        words=$("$prelabel" help 2>/dev/null | sed -n 's/^prelabel \([a-z]*\) .*/\1/p')
    else
        case $cur in
        -*) words="$("$prelabel" help "${COMP_WORDS[1]}" 2>/dev/null | sed -n 1p | grep -o -- '--[a-z-]*')" ;;
        *)  return ;;       # files: -o default
        esac
    fi
    while read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$words" -- "$cur")
}
complete -o default -F _prelabel prelabel
