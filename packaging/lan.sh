# shellcheck shell=sh
# Part of install.sh --monitor --lan: a private CA, a certificate for this host's names and addresses, and the keys of the
# configuration that belong to them.
#
# Uses $NAME, $ACCOUNT, $etc, $dest, $scratch and $lan_name, and the functions say, fail, put, get_key, set_key and stand_in
# of install.sh.
# shellcheck disable=SC2154

LAN_PORT=8443
# Apple's programs accept 825 days at most.
CERTIFICATE_DAYS=820
# A certificate with less left is renewed.
RENEW_DAYS=90
# Devices have a copy of the CA, so it outlives them.
CA_DAYS=7300

need_openssl() {
    if command -v openssl >/dev/null; then return; fi
    if [ -n "$dest" ] || ! command -v apt-get >/dev/null; then
        fail '--lan needs the program openssl: install it, then run this again'
    fi
    say 'installing openssl with apt, for the certificate'
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends openssl >"$scratch/said" 2>&1 ||
        fail "apt-get could not install openssl: $(tail -n 1 "$scratch/said")"
}

is_address() { case $1 in *:*) true ;; *[!0-9.]*) false ;; *) true ;; esac; }

# The addresses at which other machines reach this one, each with its interface. Bridges of containers and virtual machines
# are not on the LAN, and temporary IPv6 addresses change each day.
lan_addresses() {
    ip -oneline address show scope global | awk '
        $2 ~ /^(docker|br-|veth|virbr|cni|podman)/ || / (temporary|deprecated|tentative|dadfailed)/ { next }
        $3 == "inet" || $3 == "inet6" { sub("/.*", "", $4); print $4, $2 }'
}

# The address for the URL of devices: IPv4 before IPv6, on the interface of the default route if there is one.
lan_address() {
    uplink=$(ip -4 route show default | sed -n '1s/.* dev \([^ ]*\).*/\1/p')
    lan_addresses | awk -v uplink="$uplink" '
        { rank = (($1 ~ /:/) ? 1 : 3) + ($2 == uplink); if (rank > best) { best = rank; found = $1 } }
        END { print found }'
}

# host_of URL: its name or address, without brackets.
host_of() { printf '%s\n' "$1" | sed -e 's|^[a-z]*://||' -e 's|/.*||' -e 's|:[0-9]*$||' -e 's|[][]||g'; }

# lan_names URL: the certificate's names and addresses, as openssl writes them.
lan_names() {
    host=$(uname -n | tr '[:upper:]' '[:lower:]')
    {
        lan_addresses | cut -d ' ' -f 1
        # On the machine itself, for commands and health checks. mDNS (avahi) adds .local to the first part.
        printf '%s\n' 127.0.0.1 ::1 localhost "$host" "${host%%.*}.local" "$(host_of "$1")"
    } | sort -u | while read -r each; do
        if is_address "$each"; then
            printf 'IP:%s\n' "$each"
        else
            case $each in *[!a-z0-9.-]* | '') ;; *) printf 'DNS:%s\n' "$each" ;; esac
        fi
    done
}

# ---- the CA and its certificate -----------------------------------------------------------------------------------

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>"$scratch/said"; }

openssl_failed() { fail "openssl could not make $1: $(tail -n 1 "$scratch/said"). Nothing was changed."; }

# Sets $ca and $ca_key, to the installed files if there are any. A CA is never replaced, because devices trust it.
prepare_ca() {
    ca=$dest$etc/lan/ca.pem ca_key=$dest$etc/lan/ca.key
    if [ -s "$ca" ] && [ -s "$ca_key" ]; then
        openssl x509 -in "$ca" -noout -checkend 0 >/dev/null 2>&1 ||
            fail "$etc/lan/ca.pem is expired or unreadable. Move $etc/lan away for a new CA, which every device needs then"
        return
    fi
    if [ -e "$ca" ] || [ -e "$ca_key" ]; then
        fail "$etc/lan/ca.pem or $etc/lan/ca.key is missing: restore it, or move $etc/lan away for a new CA"
    fi
    ca=$scratch/ca.pem ca_key=$scratch/ca.key
    cat >"$scratch/ca.conf" <<TEXT
[req]
prompt = no
distinguished_name = name
x509_extensions = ca
[name]
O = $(uname -n)
CN = CA of heartbeat-monitor
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
TEXT
    new_key "$ca_key" || openssl_failed 'a key'
    openssl req -x509 -new -sha256 -key "$ca_key" -config "$scratch/ca.conf" -days $CA_DAYS -set_serial "$(serial)" \
        -out "$ca" 2>"$scratch/said" || openssl_failed 'the CA'
}

serial() { printf '0x%s' "$(openssl rand -hex 16)"; }

# fits CERTIFICATE KEY NAMES: it is of this CA, for exactly these names, belongs to the key, and is not due for renewal.
fits() {
    [ -s "$1" ] && [ -s "$2" ] || return 1
    openssl verify -CAfile "$ca" "$1" >/dev/null 2>&1 || return 1
    openssl x509 -in "$1" -noout -checkend $((RENEW_DAYS * 86400)) >/dev/null || return 1
    [ "$(openssl x509 -in "$1" -noout -pubkey)" = "$(openssl pkey -in "$2" -pubout 2>/dev/null)" ] || return 1
    count=$(openssl x509 -in "$1" -noout -ext subjectAltName | grep -oE '(DNS|IP Address):' | wc -l)
    [ "$count" = "$(wc -l <"$3")" ] || return 1
    while IFS=: read -r kind each; do
        if [ "$kind" = IP ]; then option=-checkip; else option=-checkhost; fi
        openssl x509 -in "$1" -noout $option "$each" | grep -q 'does match' || return 1
    done <"$3"
}

# Sets $certificate and $certificate_key, to the installed ones if they still fit.
prepare_certificate() {
    certificate=$dest$etc/lan/certificate.pem certificate_key=$dest$etc/lan/key.pem
    lan_names "$1" >"$scratch/names"
    if fits "$certificate" "$certificate_key" "$scratch/names"; then return; fi
    certificate=$scratch/certificate.pem certificate_key=$scratch/key.pem
    cat >"$scratch/extensions" <<TEXT
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $(paste -s -d , "$scratch/names")
TEXT
    new_key "$certificate_key" || openssl_failed 'a key'
    { openssl req -new -key "$certificate_key" -subj '/CN=heartbeat-monitor' -out "$scratch/request" &&
        openssl x509 -req -sha256 -in "$scratch/request" -CA "$ca" -CAkey "$ca_key" -set_serial "$(serial)" \
            -days $CERTIFICATE_DAYS -extfile "$scratch/extensions" -out "$certificate"; } 2>"$scratch/said" ||
        openssl_failed 'the certificate'
}

# ---- the configuration -----------------------------------------------------------------------------------------

# The address to listen on. One that a person chose stays.
set_listen() {
    listen=$(get_key "$1" http listen)
    case $listen in
        '' | 127.0.0.1:8080) ;;
        127.* | '[::1]':*) fail "[http] listen = \"$listen\" is for this machine only: remove the line, then run this again" "$EX_CONFIG" ;;
        *) return ;;
    esac
    # "[::]" takes IPv4 too, unless IPv6 is off or kept apart.
    if [ "$(cat /proc/sys/net/ipv6/bindv6only 2>/dev/null)" = 0 ] && [ -s /proc/net/if_inet6 ]; then
        listen="[::]:$LAN_PORT"
    else
        listen="0.0.0.0:$LAN_PORT"
    fi
    set_key "$1" http listen "$listen"
}

# A certificate from elsewhere stays.
set_certificate() {
    for key in certificate key; do
        found=$(get_key "$1" http ${key}_file)
        [ -z "$found" ] || [ "$found" = "$etc/lan/$key.pem" ] ||
            fail "[http] ${key}_file = \"$found\" is not from --lan: remove the line, then run this again" "$EX_CONFIG"
    done
    set_key "$1" http certificate_file "$etc/lan/certificate.pem"
    set_key "$1" http key_file "$etc/lan/key.pem"
}

# For the command that the page shows to devices. Another CA, such as a proxy's, stays.
set_ca() { [ -n "$(get_key "$1" web ca_file)" ] || set_key "$1" web ca_file "$etc/lan/ca.pem"; }

# Sets $public_url. One that a person wrote stays; one of an earlier run follows the address of this machine.
set_public_url() {
    public_url=$(get_key "$1" web public_url)
    before=$(cat "$dest$etc/lan/url" 2>/dev/null || :)
    if [ -n "$lan_name" ]; then
        host=$lan_name
    elif [ -n "$public_url" ] && [ "$public_url" != "$before" ]; then
        return
    else
        host=$(host_of "$public_url")
        # A name of --name stays, and so does an address that this machine still has.
        if [ -z "$host" ] || { is_address "$host" && ! lan_addresses | grep -qF "$host "; }; then host=$(lan_address); fi
    fi
    [ -n "$host" ] || fail 'this machine has no address on a network yet: connect it, or name it with --name NAME'
    case $host in *:*) host="[$host]" ;; esac
    public_url=https://$host:${listen##*:}/
    printf '%s\n' "$public_url" >"$scratch/url"
    set_key "$1" web public_url "$public_url"
}

# prepare_lan CONFIG: changes this copy of the configuration, and makes the files beside it. Nothing is installed yet.
prepare_lan() {
    need_openssl
    command -v ip >/dev/null || fail '--lan needs the program ip: sudo apt install iproute2'
    set_listen "$1"
    set_certificate "$1"
    set_public_url "$1"
    set_ca "$1"
    prepare_ca
    prepare_certificate "$public_url"
    stand_in "$etc/lan/ca.pem" "$ca"
    stand_in "$etc/lan/certificate.pem" "$certificate"
    stand_in "$etc/lan/key.pem" "$certificate_key"
}

# Below DESTDIR the group does not exist yet: the key is root's, and the first installation on the machine gives it away.
install_lan() {
    put "$ca_key" "$etc/lan/ca.key" 0600
    put "$ca" "$etc/lan/ca.pem" 0644
    put "$certificate" "$etc/lan/certificate.pem" 0644
    put "$certificate_key" "$etc/lan/key.pem" 0640 "$ACCOUNT"
    [ ! -e "$scratch/url" ] || put "$scratch/url" "$etc/lan/url" 0644
}

explain_lan() {
    until=$(openssl x509 -in "$dest$etc/lan/certificate.pem" -noout -enddate)
    say "the monitor's address is $public_url; its certificate is valid until ${until#*=}."
    say 'To renew it, or after this machine has got another address: run this again. The CA stays, and devices keep working.'
    say 'make a key for your devices: sudo heartbeat-monitor enroll add --uses 20 --for 1d'
    say "on each device, with a copy of $etc/lan/ca.pem; it asks for the key:"
    say "    sudo ./install.sh --enroll $public_url --ca-file ca.pem"
    say "SHA-256 of the CA: $(openssl x509 -in "$dest$etc/lan/ca.pem" -noout -fingerprint -sha256 | sed 's/.*=//')"
}
