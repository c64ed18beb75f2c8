# shellcheck shell=bash
# What boot and vm share: where they keep things, why they cannot, and where Debian's packages come from.

# How they say that nothing can be booted here.
EX_TEMPFAIL=75
# shellcheck disable=SC2034  # for who reads this file
TARGET=${CARGO_TARGET_DIR:-$PWD/target}

cannot() { echo "$0: nothing can be booted here: $1" >&2; exit $EX_TEMPFAIL; }

# needs PROGRAM:PACKAGE...
needs() {
    local need
    [ "$(id -u)" = 0 ] || cannot 'not root'
    for need; do
        command -v "${need%%:*}" >/dev/null || cannot "no ${need%%:*} (apt-get install ${need##*:})"
    done
}

# The mirror that this machine uses itself.
# shellcheck disable=SC2016  # for apt
mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1
}
