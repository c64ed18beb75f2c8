# shellcheck shell=bash
# Uplinks to choose from: cables to a router in a network namespace of its own, and what the kernel and the daemon say
# about them. After holds.sh.

# The daemon, with its options: for a test to say.
program=()
ROUTER=hb-router
# What the router has to offer, over each uplink.
SERVER=10.99.0.1

make_router() {
    ip netns add "$ROUTER" && ip -n "$ROUTER" link set lo up && ip -n "$ROUTER" address add "$SERVER/32" dev lo
}
in_router() { ip netns exec "$ROUTER" "$@"; }

# cable UPLINK NUMBER: to the router, which is 10.NUMBER.0.1 there.
cable() {
    # An index of its own: with equal ones on both ends the loss of the carrier is told late.
    ip link add "p-$1" index $((100 + $2)) netns "$ROUTER" type veth peer name "$1" &&
        ip -n "$ROUTER" address add "10.$2.0.1/24" dev "p-$1" && carrier "$1" up
}
# carrier UPLINK up|down: the cable is plugged and pulled at its other end.
carrier() { ip -n "$ROUTER" link set "p-$1" "$2"; }

ours() { ip route show proto 222; }
our_route_is_over() { [[ $(ours) = *"dev $1 "* ]]; }
no_route_of_ours() { [ -z "$(ours)" ]; }

status() { "${program[@]}" failover status; }
says() { status | grep -e "$1" >/dev/null; }
