# shellcheck shell=bash
# How a test gets a machine that may be thrown away: it boots one, and runs itself in it.
#
#   TEST [OPTION VALUE]... FILE...    anywhere, as root; the options are those of tests/system/boot
#   TEST --throwaway                  in such a machine: the sources are at /src, the FILEs in /given
#
# Each says in its head which FILEs those are.

# The head of the test: what it is for, and how it is run.
usage() {
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# takes "$@": sets options and operands.
takes() {
    options=()
    while case ${1:-} in --*) true ;; *) false ;; esac; do
        options+=("$1" "${2:-}")
        shift 2 || usage
    done
    # shellcheck disable=SC2034  # for who calls this
    operands=("$@")
    given=$(mktemp -d)
    trap 'rm -rf "$given"' EXIT
}

# gives FILE NAME: it is /given/NAME there.
gives() { cp "$1" "$given/$2" || exit 2; }

# boots_itself boot|vm [OPTION VALUE]...: ends with the status of the test in there.
boots_itself() {
    local here
    here=$(dirname "$0")
    "$here/$1" "${@:2}" "${options[@]}" --bind "$given:/given" "/src/tests/system/$(basename "$0")" --throwaway
    exit
}
