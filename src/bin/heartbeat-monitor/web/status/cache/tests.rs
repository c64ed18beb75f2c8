use super::*;
use crate::web::scratch::ScratchStore;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::accounts::audit::Actor;
use heartbeat_daemon::monitor::machine::Description;

const YEAR: Duration = Duration::from_secs(365 * 86_400);
const PAGE: Part = Part::Page(1);

fn actor() -> Actor {
    Actor::command_line()
}

/// `machines` machines in the group "barn"; their names are "secret-0" and so on.
fn store(machines: usize) -> ScratchStore {
    let store = ScratchStore::new();
    add(&store, machines, "barn");
    store
}

fn add(store: &Store, machines: usize, group: &str) {
    for number in 0..machines {
        let machine = Description {
            name: format!("secret-{group}-{number}"),
            hostname: Some(format!("host-{number}")),
            group: Some(group.into()),
            ..Description::default()
        };
        store.add_machine(&machine, Moment(0)).expect("added");
    }
}

fn after(start: Now, seconds: u64) -> Now {
    start.plus(Duration::from_secs(seconds))
}

fn answer(cache: &StatusCache, store: &Store, key: &str, part: Part, now: Now) -> Option<String> {
    let answer = cache.answer(store, YEAR, &TokenHash::of(key), part, now).expect("read")?;
    Some(String::from_utf8(answer.for_client(false).content().to_vec()).expect("text"))
}

#[test]
fn a_page_is_rendered_once_in_five_seconds_however_often_it_is_requested() {
    let (store, cache, start) = (store(1), StatusCache::default(), Now::read());
    store.make_status_page_public(&actor(), "barn", Moment(0)).expect("public");
    let first = answer(&cache, &store, "barn", PAGE, start).expect("a page");
    assert!(first.contains("barn 1"), "{first}");
    store.set_status_label(&actor(), "1", "North", Moment(0)).expect("a label");
    assert_eq!(answer(&cache, &store, "barn", PAGE, after(start, 4)).as_ref(), Some(&first));
    let later = answer(&cache, &store, "barn", PAGE, after(start, 5)).expect("a page");
    assert!(later.contains("North") && !later.contains("barn 1"), "{later}");
}

#[test]
fn a_page_that_was_switched_off_or_a_revoked_link_ends_within_two_seconds_or_at_once() {
    let (store, cache, start) = (store(1), StatusCache::default(), Now::read());
    let link = store.make_status_page_secret(&actor(), "barn", Moment(0)).expect("a link");
    assert!(answer(&cache, &store, link.as_str(), PAGE, start).is_some());
    let second = store.make_status_page_secret(&actor(), "barn", Moment(0)).expect("a link");
    let now = after(start, 2);
    assert_eq!(answer(&cache, &store, link.as_str(), PAGE, now), None);
    assert!(answer(&cache, &store, second.as_str(), PAGE, now).is_some());
    assert_eq!(answer(&cache, &store, "barn", PAGE, now), None, "it is not public");
    store.switch_status_page_off(&actor(), "barn", Moment(0)).expect("off");
    assert!(answer(&cache, &store, second.as_str(), PAGE, now).is_some());
    cache.expire();
    assert_eq!(answer(&cache, &store, second.as_str(), PAGE, now), None);
}

#[test]
fn a_slug_that_now_belongs_to_another_group_shows_that_group() {
    let (store, cache, start) = (store(1), StatusCache::default(), Now::read());
    add(&store, 1, "Barn!");
    store.make_status_page_public(&actor(), "barn", Moment(0)).expect("public");
    assert!(answer(&cache, &store, "barn", PAGE, start).expect("a page").contains("barn 1"));
    store.switch_status_page_off(&actor(), "barn", Moment(0)).expect("off");
    store.make_status_page_public(&actor(), "Barn!", Moment(0)).expect("public");
    let page = answer(&cache, &store, "barn", PAGE, after(start, 2)).expect("a page");
    assert!(page.contains("Barn! 1"), "{page}");
}

#[test]
fn a_page_has_100_machines_and_a_number_beyond_the_last_one_shows_the_last_one() {
    let (store, cache, start) = (store(250), StatusCache::default(), Now::read());
    store.make_status_page_public(&actor(), "barn", Moment(0)).expect("public");
    let lines = |number| {
        let page = answer(&cache, &store, "barn", Part::Page(number), start).expect("a page");
        (page.matches("<tr><th scope=\"row\">").count(), page.contains(">barn 250<"))
    };
    assert_eq!(
        [lines(0), lines(1), lines(2), lines(3)],
        [(100, false), (100, false), (100, false), (50, true)]
    );
    for number in [4, 1_000, usize::MAX] {
        assert_eq!(lines(number), (50, true), "{number}");
    }
    assert_eq!(cache.0.lock().expect("unlocked").answers.len(), 3, "no request makes an entry of its own");
}

#[test]
fn what_is_kept_is_bounded_by_its_size_and_the_oldest_entries_are_dropped() {
    let (start, mut entries) = (Now::read(), HashMap::new());
    let budget = Budget { cost: |size: &usize| *size, most: 10 };
    let mut keep = |key: char, size, second| {
        budget.keep(&mut entries, key, size, after(start, second));
        let mut kept: Vec<_> = entries.keys().copied().collect();
        kept.sort_unstable();
        kept.into_iter().collect::<String>()
    };
    assert_eq!((keep('a', 4, 0), keep('b', 4, 1)), ("a".into(), "ab".into()));
    assert_eq!(keep('c', 4, 2), "bc", "the oldest one makes room");
    assert_eq!(keep('b', 5, 3), "bc", "an entry replaces itself");
    assert_eq!(keep('d', 99, 4), "d", "the last one is kept, whatever its size");
    assert_eq!(keep('e', 1, 4), "e");
    assert_eq!(keep('f', 1, 9), "f", "expired");
}

#[test]
fn a_secret_link_is_kept_by_the_browser_alone_and_out_of_search_engines() {
    let (store, cache, now) = (store(1), StatusCache::default(), Now::read());
    let link = store.make_status_page_secret(&actor(), "barn", Moment(0)).expect("a link");
    let secret = cache.answer(&store, YEAR, &link.hash(), PAGE, now).expect("read").expect("a page");
    for response in [secret.clone().for_client(true), secret.for_client(false)] {
        assert!(response.has_header("X-Robots-Tag") && response.has_header("Vary"));
    }
}

#[test]
fn a_group_of_10_000_machines_is_shown_by_pages_of_bounded_size() {
    let (store, cache, start) = (ScratchStore::new(), StatusCache::default(), Now::read());
    let today = start.wall.0 / 86_400_000;
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
            INSERT INTO machine (id, name, group_name, created_at) SELECT i, 'secret-' || i, 'barn', 0 FROM n;
         INSERT INTO machine_state (machine_id, status, watched, since, last_seen)
            SELECT id, CASE WHEN id % 100 = 0 THEN 2 ELSE 1 END, TRUE, 0, 1000 FROM machine;
         WITH RECURSIVE n(i) AS (SELECT {today} - 89 UNION ALL SELECT i + 1 FROM n WHERE i < {today})
            INSERT INTO beat_day (machine_id, day, scheduled) SELECT id, i, 9 FROM machine, n WHERE id <= 200;"
    );
    store.write(|tx| tx.execute_batch(&sql)).expect("10,000 machines");
    store.make_status_page_public(&actor(), "barn", Moment(0)).expect("public");
    let begun = Instant::now();
    let first = answer(&cache, &store, "barn", Part::Page(2), start).expect("a page");
    let took = begun.elapsed();
    let gzip = cache.answer(&store, YEAR, &TokenHash::of("barn"), Part::Page(2), start).expect("read");
    let gzip = gzip.expect("a page").for_client(true).content().len();
    println!("a page of 10,000 machines: {took:?}, {} bytes, {gzip} compressed", first.len());
    assert!(first.contains("100 of 10000 are down"));
    assert_eq!(first.matches("<tr><th scope=\"row\">").count(), 100);
    assert!(first.len() < 100_000 && gzip < 10_000, "{} {gzip}", first.len());
    assert!(!first.contains("secret"));
}
