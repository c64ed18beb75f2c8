//! Fleets of 1,000 and 10,000 machines in the browser: painting, scrolling, pages of a large fleet. Times are printed, not
//! judged: with software rendering on a busy machine they say nothing of a person's browser.

use crate::bed::{Bed, gate, patient};
use crate::support::monitor::Plan;
use rusqlite::{Connection, params};
use serde_json::json;

const MACHINES: i64 = 1000;
/// Of which a page shows the tenth part.
const MANY: i64 = 10_000;
/// Machines of one group.
const GROUP: i64 = 50;

/// Written directly: adding them one after the other takes longer than the test.
fn fleet(plan: &Plan, machines: i64) {
    plan.says(&["machine", "list"]);
    let mut database = Connection::open(plan.database()).expect("the database");
    let transaction = database.transaction().expect("a transaction");
    for number in 1..=machines {
        let (name, group) = (format!("device-{number:05}"), format!("site-{:03}", number / GROUP));
        transaction
            .execute(
                "INSERT INTO machine (id, name, group_name, created_at) VALUES (?1, ?2, ?3, 0)",
                params![number, name, group],
            )
            .expect("a machine");
        let now = heartbeat_daemon::clock::Moment::now().0;
        transaction
            .execute(
                "INSERT INTO machine_state (machine_id, status, watched, last_seen, since) VALUES (?1, 1, 1, ?2, ?2)",
                params![number, now],
            )
            .expect("its state");
    }
    transaction.commit().expect("committed");
}

#[test]
fn a_thousand_machines_are_painted_and_scroll() {
    let plan = patient();
    fleet(&plan, MACHINES);
    let Some(mut bed) = Bed::start(plan) else { return };
    bed.open("/");
    bed.desk.wait_for_heading("All 1000 are fine");
    let paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0";
    bed.desk.until(&format!("({paint}) > 0"));
    let painted = bed.desk.value(paint);
    let sizes = bed.desk.value(
        "[document.querySelectorAll('tr[id]').length,
        performance.getEntriesByType('navigation')[0].transferSize]",
    );
    println!("1,000 machines: first paint after {painted} ms; lines, bytes: {sizes}");
    assert_eq!(sizes[0], MACHINES);

    // Unfolds all groups and scrolls through them: the first frame, and the times between the frames of scrolling.
    let frames = bed.desk.value(
        "(async () => {
            const frame = () => new Promise(requestAnimationFrame);
            await frame();
            const begin = performance.now();
            document.querySelectorAll('details').forEach((group) => { group.open = true; });
            await frame();
            let last = await frame();
            const unfolded = last - begin, times = [];
            for (let y = 0; y < document.documentElement.scrollHeight; y += 2000) {
                scrollTo(0, y);
                const now = await frame();
                times.push(now - last);
                last = now;
            }
            scrollTo(0, document.documentElement.scrollHeight);
            await frame();
            times.sort((a, b) => a - b);
            return [unfolded, times[Math.floor(times.length / 2)], times.at(-1)].map(Math.round);
        })()",
    );
    println!("unfolding them, a usual frame of scrolling and the longest one, in ms: {frames}");
    let last = bed
        .desk
        .value("[...document.querySelectorAll('tr[id]')].at(-1).getBoundingClientRect().top < innerHeight");
    assert_eq!(last, true, "the last line can be scrolled to");
    bed.desk.has_not_complained();
}

#[test]
fn ten_thousand_machines_have_pages_and_are_found() {
    let plan = patient();
    fleet(&plan, MANY);
    let Some(mut bed) = Bed::start(plan) else { return };
    bed.open("/?tag=&q=device");
    bed.desk.wait_for_heading("All 10000 are fine");
    let shown =
        "[document.querySelectorAll('tr[id]').length, document.querySelectorAll('nav.pages a').length]";
    assert_eq!(bed.desk.value(shown), json!([MACHINES, MANY / MACHINES]));

    // The last page has other machines, and the search stays.
    bed.desk.follow("nav.pages a:last-child");
    bed.desk.until("document.querySelector('nav.pages a:last-child')?.ariaCurrent === 'page'");
    let names = "[document.querySelector('input[name=q]').value, document.querySelectorAll('tr[id]').length,
        [...document.querySelectorAll('tr[id]')].some((line) => line.innerText.includes('device-00001'))]";
    assert_eq!(bed.desk.value(names), json!(["device", MACHINES, false]));

    // One machine among all of them.
    bed.open("/?q=device-07777");
    bed.desk.until("document.querySelectorAll('tr[id]').length === 1");
    bed.desk.has_not_complained();
}

/// Changes of a machine that an open page follows, as in a day of a fleet in which something always happens.
const CHANGES: usize = 150;

/// `cargo test --features monitor --test web -- --ignored --nocapture grow`
#[test]
#[ignore = "takes half a minute"]
fn an_open_page_does_not_grow() {
    let plan = patient();
    // Flapping would end the changes.
    let tokens: Vec<_> =
        (1..=20).map(|number| plan.token(&["machine", "add", &format!("device-{number}")])).collect();
    let Some(mut bed) = Bed::start(plan) else { return };
    for token in &tokens {
        bed.beat(token, json!({"cameras": gate(true)}));
    }
    bed.open("/");
    bed.desk.wait_for_heading("All 20 are fine");
    let change = |bed: &mut Bed, number: usize| {
        let (machine, responds) = (number % tokens.len(), number / tokens.len() % 2 == 1);
        bed.beat(&tokens[machine], json!({"cameras": gate(responds)}));
        let cameras = format!("document.querySelector('#m{} .num:nth-last-child(3)').innerText", machine + 1);
        bed.desk.until(&format!("{cameras} === '{}/1'", u8::from(responds)));
    };
    (0..CHANGES / 3).for_each(|number| change(&mut bed, number));
    let before = bed.desk.footprint();
    (CHANGES / 3..CHANGES).for_each(|number| change(&mut bed, number));
    let after = bed.desk.footprint();
    println!(
        "nodes and bytes of JavaScript after {} changes: {before:?}, after {CHANGES}: {after:?}",
        CHANGES / 3
    );
    assert!(after.0 < before.0 * 1.1, "nodes");
    assert!(after.1 < before.1 * 1.2, "JavaScript");
}
