#!/bin/sh
# Installs heartbeat-daemon from @SITE@ and enrols this device. It contains no secret: the last step asks for the
# enrolment key. An argument is the certificate (PEM) of the monitor's private CA, if it has one.
set -eu

install_heartbeat() {
    site='@SITE@' ca=${1:-} component=main
    if [ "$(id -u)" != 0 ]; then echo 'install: run it as root: sudo sh' >&2; exit 1; fi
    if ! command -v apt-get >/dev/null; then echo 'install: this system has no apt' >&2; exit 1; fi
    # Raspberry Pi OS with 32 bits runs on ARMv6 too.
    if grep -q '^ID=raspbian' /etc/os-release; then component=armv6; fi

    # 1. The package source, and the key that signs it.
    if [ -n "$ca" ]; then
        install -D -m 644 "$ca" /etc/heartbeat-daemon/ca.pem
        ca=/etc/heartbeat-daemon/ca.pem
        echo "Acquire::https::@HOST@::CAInfo \"$ca\";" >/etc/apt/apt.conf.d/80heartbeat
    fi
    install -d -m 755 /etc/apt/keyrings
    curl -fsS ${ca:+--cacert "$ca"} -o /etc/apt/keyrings/heartbeat.asc "$site/apt/@KEY_FILE@"
    cat >/etc/apt/sources.list.d/heartbeat.sources <<SOURCE
Types: deb
URIs: $site/apt
Suites: stable
Components: $component
Signed-By: /etc/apt/keyrings/heartbeat.asc @FINGERPRINT@
SOURCE

    # 2. The program, from this source alone.
    apt-get update -q -o Dir::Etc::SourceList=sources.list.d/heartbeat.sources -o Dir::Etc::SourceParts=- \
        -o APT::Get::List-Cleanup=false </dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y heartbeat-daemon </dev/null

    # 3. Enrolment: asks for the key on the terminal, without echo.
    heartbeat-daemon enroll "$site/" ${ca:+--ca-file "$ca"}
}

install_heartbeat "$@"
