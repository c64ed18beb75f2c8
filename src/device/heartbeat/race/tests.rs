use super::*;
use crate::device::heartbeat::attempts::Uplink;
use crate::device::heartbeat::delivery::Evidence;
use crate::device::heartbeat::dial::Last;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

const LONG: Duration = Duration::from_secs(20);

fn race(addresses: &[SocketAddr], limit: Duration) -> io::Result<Arc<Socket>> {
    dial(&Dialer::default(), addresses, false, Some(Duration::from_secs(2)), limit)
}

/// A listener whose queue is full: connecting to it hangs, as to a host that drops packets.
fn hanging() -> (Socket, SocketAddr, Vec<TcpStream>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
    listener.listen(0).expect("listening");
    let address = listener.local_addr().expect("bound").as_socket().expect("an IP address");
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queue.push(stream);
    }
    (listener, address, queue)
}

#[test]
fn an_address_that_hangs_costs_a_quarter_of_a_second_when_there_is_another() {
    let (_listener, dead, _queue) = hanging();
    let alive = TcpListener::bind("127.0.0.1:0").expect("bound");
    let alive = (alive.local_addr().expect("bound"), alive);
    let begin = Instant::now();
    let socket = race(&[dead, alive.0], LONG).expect("connected");
    let peer = socket.peer_addr().expect("connected").as_socket();
    assert_eq!(peer, Some(alive.0));
    assert!(begin.elapsed() >= STAGGER);
    assert!(begin.elapsed() < LONG / 2);
}

#[test]
fn an_address_that_refuses_costs_nothing_when_there_is_another() {
    let refusing = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("bound and closed");
    let alive = TcpListener::bind("127.0.0.1:0").expect("bound");
    let alive_address = alive.local_addr().expect("bound");
    race(&[refusing, alive_address], LONG).expect("connected");
    let error = race(&[refusing, refusing], LONG).expect_err("no listener");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_race_without_a_winner_ends_at_its_limit() {
    let (_listener, dead, _queue) = hanging();
    let error = race(&[dead, dead], Duration::from_millis(300)).expect_err("no answer");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    race(&[], LONG).expect_err("no address at all");
}

#[test]
fn a_connection_being_opened_is_ended_by_a_cut_from_another_thread() {
    let (_listener, dead, _queue) = hanging();
    let dialer = Arc::new(Dialer::default());
    dialer.begin();
    let callers = dialer.clone();
    let caller = thread::spawn(move || dial(&callers, &[dead], false, None, LONG).map(drop));
    let begin = Instant::now();
    // The other thread may not have begun to dial yet; a cut before that holds too.
    dialer.abort();
    caller.join().expect("no panic").expect_err("cut");
    assert!(begin.elapsed() < LONG / 2);
    assert!(dialer.end());
}

#[test]
fn what_a_cut_connection_still_had_to_send_is_dropped_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let dialer = Dialer::default();
    dialer.begin();
    let address = listener.local_addr().expect("bound");
    let socket = dial(&dialer, &[address], false, None, LONG).expect("connected");
    let (mut server, _) = listener.accept().expect("a connection");
    // More than both ends hold: a part is still in our queue, as on an uplink that has died.
    while (&*socket).write(&[0; 64 * 1024]).is_ok() {}
    dialer.cut();
    drop(socket);
    // A queue that is not dropped would arrive to its end, and then an orderly close.
    let error = server.read_to_end(&mut Vec::new()).expect_err("a reset, whatever was under way");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

fn uplink(index: u32, name: &str) -> Uplink {
    Uplink { index, name: name.to_owned(), usable: true }
}

#[test]
fn an_address_that_accepted_a_connection_and_delivered_nothing_is_dialled_last() {
    let dialer = Dialer::default();
    let addresses: [SocketAddr; 2] = ["192.0.2.1:80", "192.0.2.2:80"].map(|a| a.parse().expect("an address"));
    let carried = |address, evidence| {
        *lock(&dialer.last) = Last { peer: Some(address), over: Some("eth0".into()), ..Last::default() };
        dialer.record_evidence(evidence);
    };
    let first = || dialer.best_first(&addresses).0[0];
    assert_eq!(first(), addresses[0]);
    carried(addresses[0], Evidence::Lost);
    assert_eq!((first(), dialer.undelivered(Some("eth0"))), (addresses[1], 1));
    carried(addresses[1], Evidence::Delivered);
    assert_eq!((first(), dialer.undelivered(Some("eth0"))), (addresses[1], 0));
    carried(addresses[1], Evidence::Lost);
    dialer.use_uplinks(vec![uplink(2, "eth0")]);
    assert_eq!(dialer.undelivered(Some("eth0")), 0, "chosen once more");
}

/// The kernel's own way leads over another uplink once the device has left this one.
#[test]
fn a_dialer_that_is_bound_to_one_uplink_dials_over_it_alone_whichever_the_kernel_prefers() {
    let dialer = Dialer::default();
    dialer.use_uplinks(vec![uplink(3, "wlan0"), uplink(2, "eth0")]);
    let bound = dialer.bound_to(&uplink(2, "eth0"));
    let (_, uplinks) = bound.best_first(&[]);
    let other = Uplink { usable: false, ..uplink(3, "wlan0") };
    assert_eq!(uplinks, [uplink(2, "eth0"), other], "known, and not dialled");
}

#[test]
fn an_uplink_over_which_two_heartbeats_were_not_delivered_is_dialled_last_until_one_is() {
    let dialer = Dialer::default();
    let ranked = vec![uplink(2, "eth0"), uplink(3, "wlan0")];
    dialer.use_uplinks(ranked.clone());
    let first = || dialer.best_first(&[]).1[0].name.clone();
    dialer.record_uplink_evidence("eth0", Evidence::Lost);
    assert_eq!(first(), "eth0");
    dialer.record_uplink_evidence("eth0", Evidence::Lost);
    assert_eq!(first(), "wlan0");
    dialer.use_uplinks(ranked);
    assert_eq!(first(), "wlan0", "the same choice as before changes nothing");
    dialer.record_uplink_evidence("eth0", Evidence::Misdirected);
    assert_eq!(first(), "eth0");
}

/// Addresses beyond the cap would never be tried.
#[test]
fn after_a_race_without_a_winner_the_next_starts_with_other_addresses() {
    let (_listener, dead, _queue) = hanging();
    let alive = TcpListener::bind("127.0.0.1:0").expect("bound");
    let alive = (alive.local_addr().expect("bound"), alive);
    let dialer = Dialer::default();
    let addresses = [dead, alive.0];
    // Shorter than the head start of the first address.
    let limit = STAGGER / 2;
    dial(&dialer, &addresses, false, None, limit).expect_err("only the dead one was tried");
    assert!(!dialer.is_connected());
    dial(&dialer, &addresses, false, None, limit).expect("the other one is tried first now");
    assert!(dialer.is_connected());
}

#[test]
fn a_slow_or_unsteady_uplink_may_be_silent_for_longer() {
    let ms = Duration::from_millis;
    let path = |rtt, deviation| Path { waits: true, silent: Duration::ZERO, rtt, deviation };
    assert_eq!(longest_silence(&path(ms(2), ms(1)), SILENCE), SILENCE);
    assert_eq!(longest_silence(&path(ms(700), ms(10)), SILENCE), ms(2100), "a satellite");
    assert_eq!(longest_silence(&path(ms(200), ms(300)), SILENCE), ms(1400), "a full cell");
}

#[test]
fn only_the_uplink_that_fell_silent_has_a_shorter_head_start_and_only_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let dialer = Dialer::default();
    let last_error = io::ErrorKind::AddrNotAvailable.into();
    let (waiting, dialling): (&[DialAttempt], _) = (&[], Vec::new());
    let mut race = Race { dialer: &dialer, user_timeout: None, waiting, dialling, begun: 0, last_error };
    let socket = Arc::new(Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket"));
    let address = listener.local_addr().expect("bound");
    race.dialling.push(Dialling {
        socket,
        address,
        over: Some("eth0".to_owned()),
        index: None,
        kernels: None,
        host: Host::Any,
    });
    assert_eq!(race.head_start(Some("eth0")), STAGGER_AFTER_SILENCE);
    assert_eq!(race.head_start(Some("wlan0")), STAGGER);
    assert_eq!(race.head_start(None), STAGGER);
    lock(&dialer.last).over = Some("eth0".to_owned());
    dialer.fell_silent();
    dial(&dialer, &[listener.local_addr().expect("bound")], false, None, LONG).expect("connected");
    assert_eq!(lock(&dialer.last).silent, None);
}

#[test]
fn a_server_on_this_machine_is_reached_with_any_uplinks() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let dialer = Dialer::default();
    dialer.use_uplinks(vec![uplink(4_000_000, "nowhere0")]);
    dial(&dialer, &[address], false, None, LONG).expect("connected");
    assert_eq!((dialer.server(), dialer.over()), (vec![address], None));
}

#[test]
fn an_abort_with_nothing_on_its_way_leaves_the_idle_connection_open() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let dialer = Dialer::default();
    let socket =
        dial(&dialer, &[listener.local_addr().expect("bound")], false, None, LONG).expect("connected");
    dialer.begin();
    assert!(!dialer.end());
    dialer.abort();
    let is_open = || socket.peek(&mut [std::mem::MaybeUninit::uninit()]).is_err();
    assert!(is_open(), "nothing to read, and no end");
    dialer.cut();
    assert!(!is_open(), "the end can be read");
}

/// The best uplink may only have been slow to answer, and the other one may be metered.
#[test]
fn a_connection_over_another_uplink_than_the_best_one_is_replaced_after_a_while() {
    let seconds = |number| Duration::from_secs(number);
    let dialer = Dialer::default();
    let now = Instant::now();
    let mut lengths = Vec::new();
    for _ in 0..9 {
        let mut last = lock(&dialer.last);
        last.over = Some("wlan1".to_owned());
        last.note_winner(Some("eth0"), now);
        lengths.push((last.next_race.expect("on a detour") - now).as_secs());
    }
    assert_eq!(lengths, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    assert!(dialer.is_fresh(), "it works");
    lock(&dialer.last).note_winner(Some("eth0"), now - seconds(301));
    assert!(!dialer.is_fresh());
    let (wlan1, none) = (Some("wlan1"), None);
    for best in [wlan1, none] {
        lock(&dialer.last).note_winner(best, now - seconds(301));
        assert!(dialer.is_fresh(), "{best:?}");
    }
}
