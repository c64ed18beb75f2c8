//! Problems of setups, from the sweep to the message, with the rig of the other conditions.

use crate::monitor::beat::Sample;
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::conditions::settings::SettingChange;
use crate::monitor::history::packed::Packed;
use crate::monitor::history::rows::PastSample;
use crate::monitor::incidents::conditions::tests::{ConditionRig, MACHINE, MINUTE, SECOND};
use crate::monitor::recorder::RecorderEvent;
use crate::monitor::store::sql::params;

const NEVER_SEEN: &str =
    "barn-cam: has not sent any heartbeat since 12:53 (15 min): check the URL and the token on the device";
const SHARED: &str =
    "barn-cam: two devices (b and a) share its token since 12:53: give each a machine and a token of its own";
const REFUSED: &str = "barn-cam: a device uses a replaced token since 12:53 (1 min): give it the new token";

impl ConditionRig {
    fn kinds(&self) -> Vec<String> {
        self.open().into_iter().map(|(kind, _)| kind).collect()
    }

    /// A heartbeat every 5 s for `time`, of both devices in turn.
    fn two_devices_beat_for(&mut self, time: std::time::Duration) {
        for step in 0..time.as_secs() / 10 {
            self.heartbeat["hardwareid"] = if step % 2 == 0 { "a" } else { "b" }.into();
            self.beats_for(SECOND * 10);
        }
    }

    fn refused(&mut self, times: usize) {
        for _ in 0..times {
            self.shared.fleet.token_refused(MACHINE, self.now.wall);
        }
        self.is_silent_for(SECOND * 30);
    }

    fn pause(&self, minutes: u32) {
        self.store.pause_machine("barn-cam", MINUTE * minutes, None, self.now.wall).expect("paused");
    }

    fn reload(&mut self) {
        let reload = RecorderEvent::Registry { loaded: Box::new(|loaded| loaded.expect("loaded")) };
        self.recorder.handle(std::iter::once(reload), self.now);
    }
}

#[test]
fn a_machine_that_was_never_seen_is_one_message_after_15_minutes_and_one_at_its_first_heartbeat() {
    let mut rig = ConditionRig::new();
    rig.is_silent_for(MINUTE * 14);
    assert_eq!(rig.messages(), Vec::<String>::new());
    rig.is_silent_for(MINUTE);
    assert_eq!(rig.messages(), [NEVER_SEEN]);
    rig.is_silent_for(MINUTE * 30);
    rig.restart();
    rig.is_silent_for(MINUTE * 30);
    assert_eq!(rig.messages(), [NEVER_SEEN], "also after a restart");
    rig.beats_for(MINUTE);
    assert_eq!(rig.messages()[1..], ["barn-cam: sent its first heartbeat after 75 min"]);
    assert_eq!(rig.kinds(), Vec::<String>::new());
    rig.is_silent_for(MINUTE * 60);
    assert_eq!(rig.kinds(), ["offline"], "from now on its silence is an outage");
}

#[test]
fn replays_are_no_first_heartbeat() {
    let mut rig = ConditionRig::new();
    let past =
        vec![PastSample { machine: MACHINE, at: rig.now.wall, figures: Packed::from(Sample::default()) }];
    let replays = RecorderEvent::Replays { past, stored: Box::new(|stored| stored.expect("stored")) };
    rig.recorder.handle(std::iter::once(replays), rig.now);
    rig.is_silent_for(MINUTE * 16);
    assert_eq!(rig.messages(), [NEVER_SEEN]);
}

#[test]
fn the_15_minutes_begin_when_the_monitor_listens() {
    let mut rig = ConditionRig::new();
    rig.now = rig.now.plus(MINUTE * 60);
    rig.restart();
    rig.is_silent_for(MINUTE * 14);
    assert_eq!(rig.kinds(), Vec::<String>::new());
    rig.is_silent_for(MINUTE);
    assert_eq!(rig.kinds(), ["never_seen"]);
}

#[test]
fn a_machine_that_was_never_seen_before_the_upgrade_is_in_the_summary_only() {
    let mut rig = ConditionRig::new();
    let now = rig.now.wall;
    rig.store
        .write(|tx| {
            tx.execute(
                "INSERT INTO incident (machine_id, kind, subject, planned, last_seen, began_at, existing)
                 VALUES (1, 'never_seen', '', FALSE, 0, ?1, TRUE)",
                params![now.0],
            )?;
            Ok(())
        })
        .expect("as migration 9 does");
    rig.is_silent_for(MINUTE * 30);
    assert_eq!(rig.messages(), ["1 condition held before it was watched"]);
    rig.beats_for(MINUTE);
    assert_eq!(rig.kinds(), Vec::<String>::new());
    assert_eq!(rig.messages().len(), 1);
}

#[test]
fn a_machine_or_condition_that_is_switched_off_has_no_incident_and_is_not_news_later() {
    let mut rig = ConditionRig::new();
    rig.is_silent_for(MINUTE * 16);
    rig.store.disable_machine("barn-cam", rig.now.wall).expect("disabled");
    rig.is_silent_for(MINUTE * 16);
    assert_eq!(rig.kinds(), Vec::<String>::new());
    rig.store.enable_machine("barn-cam", rig.now.wall).expect("enabled");
    rig.is_silent_for(MINUTE * 16);
    assert_eq!(rig.kinds(), ["never_seen"]);
    for is_on in [false, true] {
        rig.setting(Condition::NeverSeen, SettingChange { is_on: Some(is_on), ..SettingChange::default() });
        rig.is_silent_for(MINUTE);
        assert_eq!(rig.kinds().len(), usize::from(is_on));
    }
    rig.is_silent_for(MINUTE * 10);
    assert_eq!(rig.messages(), ["1 condition held before it was watched"], "the first was not sent yet");
}

#[test]
fn a_pause_delays_the_message_of_a_machine_that_is_not_online() {
    let mut rig = ConditionRig::new();
    rig.pause(60);
    rig.is_silent_for(MINUTE * 59);
    assert_eq!((rig.kinds(), rig.messages().len()), (vec!["never_seen".to_owned()], 0));
    rig.is_silent_for(MINUTE * 2);
    assert_eq!(rig.messages().len(), 1);
}

#[test]
fn two_devices_with_one_token_are_one_message_and_one_an_hour_after_only_one_uses_it() {
    let mut rig = ConditionRig::new();
    rig.two_devices_beat_for(MINUTE * 5);
    assert_eq!(rig.messages(), [SHARED]);
    rig.restart();
    rig.two_devices_beat_for(MINUTE * 5);
    assert_eq!((rig.messages().len(), rig.kinds()), (1, vec!["shared_token".to_owned()]));
    rig.restart();
    rig.beats_for(MINUTE * 59);
    assert_eq!(rig.messages().len(), 1);
    rig.beats_for(MINUTE * 2);
    assert_eq!(rig.messages()[1..], ["barn-cam: only one device uses its token again after 69 min"]);
    rig.beats_for(MINUTE * 60);
    assert_eq!((rig.messages().len(), rig.kinds().len()), (2, 0));
}

#[test]
fn a_replaced_token_that_is_used_is_one_message_and_one_when_it_was_unused_for_an_hour() {
    let mut rig = ConditionRig::with_cameras();
    rig.refused(4);
    assert_eq!(rig.kinds(), Vec::<String>::new());
    rig.refused(1);
    assert_eq!(rig.messages(), [REFUSED]);
    rig.is_silent_for(MINUTE * 10);
    assert_eq!(rig.messages()[1..], ["Machine offline"]);
    rig.restart();
    rig.refused(1);
    rig.is_silent_for(MINUTE * 59);
    assert_eq!(rig.kinds(), ["refused_token", "offline"]);
    rig.is_silent_for(MINUTE * 3);
    assert_eq!(rig.messages()[2..], ["barn-cam: the replaced token is no longer in use after 71 min"]);
}

#[test]
fn a_device_that_got_the_new_token_ends_it_after_ten_minutes_and_a_disabled_machine_has_no_message() {
    let mut rig = ConditionRig::with_cameras();
    rig.refused(5);
    rig.beats_for(MINUTE * 9);
    assert_eq!(rig.kinds(), ["refused_token"]);
    rig.beats_for(MINUTE * 2);
    assert_eq!(rig.kinds(), Vec::<String>::new());
    assert_eq!(rig.messages().len(), 2);
    rig.store.disable_machine("barn-cam", rig.now.wall).expect("disabled");
    rig.reload();
    rig.refused(5);
    assert_eq!((rig.messages().len(), rig.kinds().len()), (0, 0), "those that were not sent yet are skipped");
}
