#!/bin/sh
# cloud-init runs this on the first boot, beside the user-data of Raspberry Pi Imager. It installs heartbeat-daemon from
# @SITE@. It contains no secret: the enrolment key is in heartbeat.toml, which the daemon's package uses and deletes.
set -eu

component=main
# Raspberry Pi OS with 32 bits runs on ARMv6 too.
if grep -q '^ID=raspbian' /etc/os-release; then component=armv6; fi

# The package source, and the key that signs it.
install -d -m 755 /etc/apt/keyrings /etc/heartbeat-daemon
cat >/etc/apt/keyrings/heartbeat.asc <<'KEY'
@KEY@
KEY
@CA@
cat >/etc/apt/sources.list.d/heartbeat.sources <<SOURCE
Types: deb
URIs: @SITE@/apt
Suites: stable
Components: $component
Signed-By: /etc/apt/keyrings/heartbeat.asc @FINGERPRINT@
SOURCE

# The program, from this source alone. Without a clock chip, certificates are not valid before the first NTP response; until
# then apt fails. It goes on for an hour, beside everything else of the first boot.
cat >/run/heartbeat-install <<'INSTALL'
attempt=0
until apt-get update -q -o Dir::Etc::SourceList=sources.list.d/heartbeat.sources -o Dir::Etc::SourceParts=- \
    -o APT::Get::List-Cleanup=false -o APT::Update::Error-Mode=any &&
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y -o DPkg::Lock::Timeout=600 heartbeat-daemon; do
    attempt=$((attempt + 1))
    if [ $attempt -ge 360 ]; then exit 1; fi
    sleep 10
done
INSTALL
systemd-run --unit=heartbeat-install --description='Installation of heartbeat-daemon' /bin/sh /run/heartbeat-install
