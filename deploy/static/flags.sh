# flags.sh - what build.sh and libs.sh both compile with.  They source it from the top of the tree.
# shellcheck shell=sh disable=SC2034
: "${CC:=cc}" "${MAKE:=make}"
sections='-ffunction-sections -fdata-sections'
harden="-fPIE -fstack-protector-strong -fstack-clash-protection -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"
case $(${CC%% *} -dumpmachine) in
x86_64* | i?86*) harden="$harden -fcf-protection" ;;
aarch64*)        harden="$harden -mbranch-protection=standard" ;;
esac
jobs=$(nproc 2>/dev/null || echo 2)

say() { echo "static: $*" >&2; }
