# shellcheck shell=sh
# Part of install.sh --deb FILE: the program from a package, for machines without a compiler. Everything else is as without it.
#
# Uses $NAME, $deb, $unit, $dest, $scratch and $EX_USAGE, and the functions say and fail of install.sh; sets $binary,
# $program, $prefix, $default_config and $changed.
# shellcheck disable=SC2154,SC2034

# Unpacks the package, so that the configuration is checked with the new program before anything changes.
prepare_package() {
    [ -z "$dest" ] || fail '--deb cannot be combined with DESTDIR: use dpkg --root' "$EX_USAGE"
    command -v apt-get >/dev/null || fail '--deb needs apt: this is not Debian'
    found=$(dpkg-deb --field "$deb" Package Architecture 2>&1) || fail "--deb $deb: $found" "$EX_USAGE"
    [ "$(dpkg-deb --field "$deb" Package)" = "$NAME" ] ||
        fail "--deb $deb contains $(dpkg-deb --field "$deb" Package), not $NAME" "$EX_USAGE"
    [ "$(dpkg-deb --field "$deb" Architecture)" = "$(dpkg --print-architecture)" ] ||
        fail "--deb $deb is for $(dpkg-deb --field "$deb" Architecture); this machine needs $(dpkg --print-architecture)" "$EX_USAGE"
    [ ! -e "$unit" ] || fail "$unit is from install.sh without --deb: first sudo ./install.sh --uninstall (the configuration stays)"
    dpkg-deb --extract "$deb" "$scratch/package"
    binary=$scratch/package/usr/bin/$NAME
    default_config=$scratch/package/etc/$NAME/config.toml
    prefix=/usr program=/usr/bin/$NAME
}

# The same version with the same files.
is_installed() {
    dpkg-query --show --showformat '${db:Status-Status} ${Version}' "$NAME" 2>/dev/null |
        grep -qxF "installed $(dpkg-deb --field "$deb" Version)" &&
        [ "$(dpkg-query --control-show "$NAME" md5sums)" = "$(dpkg-deb --info "$deb" md5sums)" ]
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes --allow-downgrades --reinstall \
        --option Dpkg::Options::=--force-confold --option Dpkg::Use-Pty=0 install "$deb" >"$scratch/said" 2>&1 </dev/null
}

install_package() {
    if is_installed; then return; fi
    # A fresh image has no package lists; they are needed only if a dependency is missing.
    apt_install || { apt-get --quiet update >"$scratch/update" 2>&1 && apt_install; } ||
        fail "apt-get could not install $deb: $(tail -n 3 "$scratch/said" | tr '\n' ' ')"
    changed=yes
    say "  package $NAME $(dpkg-deb --field "$deb" Version)"
}
