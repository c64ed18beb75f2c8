# shellcheck shell=bash
# The monitor's package beside the daemon's, which beats to it; tests/system/package reads this file.

MONITOR_SECRET=swordfish-swordfish
MACHINE_TOKEN=''
hooks=''

set_key() { sed -i "s|^#\{0,1\}$1 = .*|$1 = $2|" "$CONFIG"; }
told() { grep -c "^$1 barn" "$SCRATCH/webhooks"; }
has_told() { [ "$(told "$1")" -ge "$2" ]; }
was_told_once() { [ "$(told machine.offline) $(told machine.online)" = '1 1' ]; }

daemon_reaches_monitor() {
    MACHINE_TOKEN=$(as_monitor machine add barn | tail -n 1)
    [ -n "$MACHINE_TOKEN" ] && printf '%s\n' "$MACHINE_TOKEN" >/etc/heartbeat-daemon/token || return
    sed -i 's|^url = .*|url = "http://127.0.0.1:8080/api/v1/heartbeat"|' /etc/heartbeat-daemon/config.toml
    systemctl restart heartbeat-daemon && becomes machine_is online
}

receives_webhooks() {
    perl tests/system/webhooks.pl 9000 >"$SCRATCH/webhooks" &
    hooks=$!
    becomes grep -q listening "$SCRATCH/webhooks"
}
add_webhook() {
    printf '%s\n' "$MONITOR_SECRET" | as_monitor channel add webhook http://127.0.0.1:9000/hook --secret-stdin
}
is_refused_at_first() {
    ! add_webhook 2>"$SCRATCH/refusal" && grep 'set allow_private_webhooks = true' "$SCRATCH/refusal" &&
        as_monitor channel list && ! as_monitor channel list | grep 9000
}

monitor_reloads() {
    local pid
    pid=$(property MainPID)
    set_key allow_private_webhooks true && set_key check_interval '"1s"' && set_key offline_threshold '"10s"' || return
    as_monitor check-config && systemctl reload "$UNIT" && becomes has_logged 'configuration reloaded' &&
        [ "$(property MainPID)" = "$pid" ] && add_webhook && as_monitor channel test 1 && grep '^machine.test' "$SCRATCH/webhooks"
}

# Commands read the same file, and refuse it too.
bad_monitor_reload_is_refused() {
    local pid status
    pid=$(property MainPID)
    set_key check_interval '"soon"'
    ! systemctl reload "$UNIT" && becomes has_logged 'check_interval = "soon"' && ! machine_is online
    status=$?
    set_key check_interval '"1s"'
    [ $status = 0 ] && becomes machine_is online && [ "$(property MainPID)" = "$pid" ]
}

# A daemon that is stopped says nothing more, as a device without power; it is let go on before its own watchdog comes.
tells_of_an_outage() {
    local daemon
    daemon=$(systemctl show --property MainPID --value heartbeat-daemon)
    kill -s STOP "$daemon" && becomes has_told machine.offline 1
    local status=$?
    kill -s CONT "$daemon"
    [ $status = 0 ] && becomes has_told machine.online 1 && was_told_once
}

monitor_upgrades() {
    local before
    before=$(dpkg-query --show --showformat '${Version}' "$UNIT")
    cp "$CONFIG" "$SCRATCH/edited-monitor"
    installs monitor.deb && becomes is_active && becomes machine_is online && cmp "$CONFIG" "$SCRATCH/edited-monitor" &&
        [ "$(dpkg-query --show --showformat '${Version}' "$UNIT")" != "$before" ]
}

# The restart is retried at growing intervals, until somebody has mended the file.
waits_for_a_good_configuration() {
    set_key check_interval '"soon"'
    systemctl restart "$UNIT"
    becomes says_78
    local status=$?
    set_key check_interval '"1s"'
    [ $status = 0 ] && becomes is_active && becomes machine_is online
}
says_78() { [ "$(property ExecMainStatus)" = 78 ]; }

# By the account of a proxy, which was made a member of the group.
socket_reaches() {
    # shellcheck disable=SC2016  # for perl
    set_key socket '"/run/heartbeat-monitor/http.sock"' && systemctl restart "$UNIT" && becomes is_active &&
        setpriv --reuid nobody --regid heartbeat-monitor --clear-groups perl -MIO::Socket::UNIX -e '
            my $socket = IO::Socket::UNIX->new(Peer => "/run/heartbeat-monitor/http.sock") or die "connect: $!\n";
            print $socket "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            print <$socket>;' | grep '^HTTP/1.1 200' &&
        ! setpriv --reuid nobody --regid nogroup --clear-groups test -e /run/heartbeat-monitor/http.sock
}

backs_up() {
    heartbeat-monitor db check && heartbeat-monitor db backup "$SCRATCH/copy.db" && as_monitor db check &&
        ! find /var/lib/heartbeat-monitor ! -user heartbeat-monitor -o -type f -perm /o+rwx,g+w | grep .
}

# make_certificate NAME: certificate and key that only root may read.
make_certificate() {
    (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2 \
        -subj "/CN=$1" -addext subjectAltName=IP:127.0.0.1 -keyout "/root/$1.key" -out "/root/$1.pem")
}
# Over TLS, with that certificate and no other.
answers_with() {
    printf 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' |
        openssl s_client -quiet -connect 127.0.0.1:8080 -CAfile "/root/$1.pem" -verify_return_error 2>/dev/null |
        grep '^HTTP/1.1 200'
}

# The lines of README.Debian.
gives_certificate() {
    install -o root -g heartbeat-monitor -m 0640 "/root/$1.pem" /etc/heartbeat-monitor/certificate.pem &&
        install -o root -g heartbeat-monitor -m 0640 "/root/$1.key" /etc/heartbeat-monitor/key.pem
}
certificate_is_renewed() {
    make_certificate old && make_certificate new && gives_certificate old || return
    set_key certificate_file '"/etc/heartbeat-monitor/certificate.pem"'
    set_key key_file '"/etc/heartbeat-monitor/key.pem"'
    systemctl restart "$UNIT" && becomes answers_with old && ! answers_with new && gives_certificate new &&
        systemctl reload "$UNIT" && becomes answers_with new
}
certificate_comes_as_credential() {
    local drop_ins=/etc/systemd/system/$UNIT.service.d status
    mkdir -p "$drop_ins"
    printf '[Service]\nLoadCredential=certificate.pem:/root/old.pem\nLoadCredential=key.pem:/root/old.key\n' \
        >"$drop_ins/certificate.conf"
    set_key certificate_file '"/run/credentials/heartbeat-monitor.service/certificate.pem"'
    set_key key_file '"/run/credentials/heartbeat-monitor.service/key.pem"'
    # The check before a reload sees them too.
    systemctl daemon-reload && systemctl restart "$UNIT" && becomes answers_with old && systemctl reload "$UNIT"
    status=$?
    rm -r "$drop_ins"
    systemctl daemon-reload
    cp "$SCRATCH/edited-monitor" "$CONFIG"
    systemctl restart "$UNIT" && becomes machine_is online && return $status
}

monitor_removes() {
    apt remove "$UNIT" && is_inactive && [ -e "$CONFIG" ] && [ -s "/var/lib/$UNIT/monitor.db" ] &&
        [ ! -e "/usr/bin/$UNIT" ]
}
monitor_is_back() { installs monitor.deb && becomes is_active && becomes machine_is online; }
its_secrets_are_nowhere() {
    [ -n "$MACHINE_TOKEN" ] && ! journalctl --quiet --no-pager | grep -F -e "$MACHINE_TOKEN" -e "$MONITOR_SECRET"
}

the_monitor() {
    local UNIT=heartbeat-monitor CONFIG=/etc/heartbeat-monitor/config.toml
    holds 'the previous version of the monitor installs' installs previous-monitor.deb
    holds 'the monitor is READY in time' is_ready_in_time "$READY"
    holds 'its files are in place, the configuration closed to others' files_are_in_place "$UNIT" "$UNIT"
    holds 'it is enabled' is_enabled
    holds 'a machine is added while it runs, and its daemon is taken' daemon_reaches_monitor
    holds 'a receiver of webhooks listens on this machine' receives_webhooks
    holds '... and is not accepted as a channel unless the configuration allows it' is_refused_at_first
    holds 'a reload applies that, and the webhook is added and receives its test' monitor_reloads
    holds 'a bad configuration is refused, and the old one stays' bad_monitor_reload_is_refused
    holds 'the webhook is told of an outage and of its end' tells_of_an_outage
    holds 'an upgrade keeps machines, tokens and configuration' monitor_upgrades
    holds 'the new version is READY in time' is_ready_in_time "$READY"
    holds 'after kill -9 it comes back and knows its machine' comes_back_after KILL becomes machine_is online
    holds 'after SIGSTOP the watchdog brings it back' comes_back_after STOP becomes machine_is online
    holds 'a bad configuration at the start is waited for until it is mended' waits_for_a_good_configuration
    holds 'database check and copy work beside it, and leave the file its owner' backs_up
    holds 'its exposure is at most 1.2' is_hardened 1.2
    holds 'systemd knows every line of its unit' knows_every_line
    holds 'what it has no business with is refused' \
        refuses_the_rest /etc/heartbeat-daemon/token /etc/heartbeat-daemon/config.toml
    holds 'for all of these restarts nobody was told anything' was_told_once
    holds 'its socket file is there for its group alone' socket_reaches
    holds 'a certificate that its group may read is renewed by a reload' certificate_is_renewed
    holds 'a certificate that root alone may read comes by LoadCredential' certificate_comes_as_credential
    holds 'it stops within 5 s' stops_within 5
    holds 'remove stops it; configuration and database stay' monitor_removes
    holds 'installed again it knows its machine' monitor_is_back
    holds 'its secrets are in no log' its_secrets_are_nowhere
    holds 'purge leaves nothing of it' leaves_nothing "$UNIT" "$UNIT"
    kill "$hooks"
}
