#compdef prelabel
# zsh completion of prelabel: commands and options are those of `prelabel help`.
local -a found
if (( CURRENT == 2 )) || [[ ${words[2]} == help ]]; then
    found=(${(f)"$($words[1] help 2>/dev/null | sed -n 's/^prelabel \([a-z]*\) .*/\1/p')"})
    compadd -- $found
elif [[ $PREFIX == -* ]]; then
    found=(${(f)"$($words[1] help ${words[2]} 2>/dev/null | sed -n 1p | grep -o -- '--[a-z-]*')"})
    compadd -- $found
else
    _files
fi
