# fill.awk - a page of the manual: @COMMANDS@ from `prelabel help`, @SETTINGS@ from
# `prelabel env`, @VERSION@ and @DATE@.
#
#   awk -v help=FILE -v env=FILE -v version=V -v date=D -f man/fill.awk page.in
function roff(s) {
	gsub(/\\/, "\\e", s)
	gsub(/…/, "...", s)
	gsub(/-/, "\\-", s)
	return s ~ /^[.']/ ? "\\&" s : s
}

# A sentence a line, as mdoc wants it.
function sentences(s) {
	s = roff(s)
	gsub(/`[^`]*`/, "\\fB&\\fP", s)
	gsub(/`/, "", s)
	gsub(/\. /, ".\n", s)
	return s
}

function commands(   line) {
	while ((getline line <help) > 0) {
		if (line ~ /^prelabel [a-z]+ /) {
			sub(/^prelabel /, "", line)
			name = line
			sub(/ .*/, "", name)
			sub(/^[a-z]+ */, "", line)
			print ".It Cm " name (line == "" ? "" : " No " roff(line))
		} else if (line ~ /^    /) {
			sub(/^ +/, "", line)
			print toupper(substr(line, 1, 1)) sentences(substr(line, 2)) "."
		}
	}
}

function settings(   line, name, n, part) {
	while ((getline line <env) > 0) {
		if (line ~ /^[A-Z_]+=/) {
			name = line
			sub(/=.*/, "", name)
			print ".It Ev " name
		} else if (line ~ /^    /) {
			sub(/^ +/, "", line)
			print toupper(substr(line, 1, 1)) sentences(substr(line, 2)) "."
		}
	}
}

/^@COMMANDS@$/ { commands(); next }
/^@SETTINGS@$/ { settings(); next }
{
	gsub(/@VERSION@/, version)
	gsub(/@DATE@/, date)
	print
}
