# shellcheck shell=bash
# What networkmanager and wifi share: uplinks that NetworkManager configures, and the daemon of install.sh on them, which
# beats to the router. After holds.sh, unit.sh, heartbeats.sh and uplinks.sh.

program=(/given/heartbeat-daemon)

# managed_cable UPLINK NUMBER METRIC: NetworkManager configures it.
managed_cable() {
    cable "$1" "$2" && nmcli device set "$1" managed yes &&
        nmcli connection add type ethernet ifname "$1" con-name "hb-$1" autoconnect yes ipv4.method manual \
            ipv4.addresses "10.$2.0.2/24" ipv4.gateway "10.$2.0.1" ipv4.route-metric "$3" ipv6.method disabled &&
        nmcli --wait "$PATIENCE" connection up "hb-$1"
}
managers_route_is_over() { ip route show default dev "$1" proto static | grep default; }
managers_route_is_gone() { ! managers_route_is_over "$1"; }

installer() { ./install.sh --binary "${program[0]}" --url "http://$SERVER:8080/heartbeat" "$@"; }
start_router_receiver() { start_receiver "$SERVER:8080" in_router "${program[@]}"; }

# configured INTERVAL TIMEOUT
configured() {
    sed -i -e "s/^interval = .*/interval = \"$1\"/" -e "s/^timeout = .*/timeout = \"$2\"/" \
        -e 's/^connectivity_check = .*/connectivity_check = ""/' "$CONFIG" && systemctl restart "$UNIT"
}
settles() { becomes says 'eth0.*valid' && becomes says 'wlan0.*valid' && becomes sent_last_over eth0; }

witnesses() {
    status
    [ ! -e /sys/class/net/wlan0/phy80211 ] || iw dev wlan0 link
    nmcli --colors no device status
    ip route show
    tail -n 5 "$SCRATCH/received"
    logged | tail -n 30
}
