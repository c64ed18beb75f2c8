# shellcheck shell=sh
# Part of install.sh --monitor --domain: the site of Caddy, which obtains the certificate, and the keys of the configuration
# that belong to it.
#
# Uses $NAME, $dest, $prefix, $scratch, $domain and $changed, and the functions say, complain, fail, put, get_key, set_key,
# set_list and is_unedited of install.sh.
# shellcheck disable=SC2154,SC2034

SITE=/etc/caddy/heartbeat-monitor.caddy
CADDYFILE=/etc/caddy/Caddyfile

check_domain() {
    case $1 in
        *[!A-Za-z0-9.-]* | .* | -* | *. | *..*) fail "--domain $1: only a name such as monitor.example.org" "$EX_USAGE" ;;
        *.*) ;;
        *) fail "--domain $1: a certificate needs a full name, such as monitor.example.org (without one: --lan)" "$EX_USAGE" ;;
    esac
    case $1 in *[!0-9.]*) ;; *) fail "--domain $1: a name, not an address (with an address: --lan)" "$EX_USAGE" ;; esac
}

# prepare_domain CONFIG: changes this copy of the configuration, and writes the site to $scratch/site.
prepare_domain() {
    backend=$(get_key "$1" http listen)
    [ -n "$backend" ] || backend=127.0.0.1:8080
    case $backend in
        127.* | '[::1]':*) ;;
        *) fail "[http] listen = \"$backend\": Caddy needs an address of this machine, such as \"127.0.0.1:8080\"" "$EX_CONFIG" ;;
    esac
    [ -z "$(get_key "$1" http certificate_file)" ] ||
        fail '[http] certificate_file is set: Caddy has the certificate then; remove it and key_file' "$EX_CONFIG"
    set_key "$1" web public_url "https://$domain/"
    grep -q '^[[:space:]]*trusted_proxies[[:space:]]*=' "$1" || set_list "$1" http trusted_proxies '["127.0.0.1", "::1"]'
    sed -e "1s|: /etc/caddy/Caddyfile|, by install.sh --domain|" -e "s|^monitor\.example\.org |$domain |" \
        -e "s|^# The monitor keeps listening on 127\.0\.0\.1:8080|# The monitor keeps listening on $backend|" \
        -e "s|reverse_proxy 127\.0\.0\.1:8080|reverse_proxy $backend|" packaging/caddy/Caddyfile >"$scratch/site"
}

# A site that a person has edited stays: it differs from the copy of the run before.
install_site() {
    copy=$prefix/share/$NAME/site.caddy
    if [ -e "$dest$SITE" ] && ! cmp -s "$dest$SITE" "$dest$copy"; then
        say "your $SITE stays as you edited it; this version's is $copy"
    else
        put "$scratch/site" "$SITE" 0644
    fi
    put "$scratch/site" "$copy" 0644
    import_site
}

has_caddy() { if [ -n "$dest" ]; then [ -x "$dest/usr/bin/caddy" ]; else command -v caddy >/dev/null; fi; }

imports_site() { grep -qE "^[[:space:]]*import[[:space:]]+($SITE|heartbeat-monitor\.caddy|/etc/caddy/\*\.caddy|\*\.caddy)" "$dest$CADDYFILE"; }

# The Caddyfile of Debian's package, or none, gets one line. In an edited one, a person decides where it stands.
import_site() {
    # A file that is there before Debian's package makes apt ask a question.
    has_caddy || return 0
    if [ ! -e "$dest$CADDYFILE" ]; then
        printf 'import %s\n' "$SITE" >"$scratch/Caddyfile"
    elif imports_site; then
        return
    elif is_unedited "$CADDYFILE" caddy; then
        { cat "$dest$CADDYFILE" && printf '\nimport %s\n' "$SITE"; } >"$scratch/Caddyfile"
    else
        complain "add this line to $CADDYFILE, then run this again:  import $SITE"
        return
    fi
    put "$scratch/Caddyfile" "$CADDYFILE" 0644
}

# Caddy starts with the site, or says why it cannot. Below DESTDIR nothing is started.
start_caddy() {
    [ -z "$dest" ] || return 0
    if ! has_caddy; then
        complain "Caddy is not installed yet: sudo apt install caddy, then run this again"
        return
    fi
    caddy validate --config $CADDYFILE --adapter caddyfile >"$scratch/said" 2>&1 ||
        fail "caddy refuses $CADDYFILE: $(tail -n 1 "$scratch/said")"
    if [ -n "$changed" ] && systemd_runs; then systemctl reload-or-restart caddy || fail 'Caddy did not start: journalctl -u caddy'; fi
}

# Caddy would refuse a Caddyfile that imports a file that is not there, so a person removes both.
remove_site() {
    rm -f "$dest$prefix/share/$NAME/site.caddy"
    [ ! -e "$dest$SITE" ] || say "Caddy's site stays: remove $SITE, and its import in $CADDYFILE"
}

explain_domain() {
    say "the monitor's address is https://$domain/, once its DNS record leads here and ports 80 and 443 are open."
    say 'make a key for your devices: sudo heartbeat-monitor enroll add --uses 20 --for 1d'
    say 'on each device, which asks for the key:'
    say "    sudo ./install.sh --enroll https://$domain/"
}
