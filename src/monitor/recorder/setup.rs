//! Problems of a machine's setup, which no single heartbeat shows.

use crate::clock::Now;
use crate::monitor::incidents::setup::SetupFacts;
use crate::monitor::recorder::Recorder;
use crate::monitor::recorder::trouble::Task;

impl Recorder {
    /// Two devices that use one token look like one machine: the failure of either is not noticed.
    pub(super) fn report_shared_tokens(&mut self, now: Now) {
        for shared in self.shared.fleet.drain_shared() {
            log::warn!(
                "machine {}: two devices ({}) use its token in turn, so it looks online while either of them sends: \
                 give each a machine and a token of its own (heartbeat-monitor machine add)",
                shared.machine.0,
                shared.names()
            );
            let reported = self.shared.store.note_shared_token(&shared, now.wall);
            self.logged(Task::Events, reported, now.monotonic);
        }
    }

    /// Writes boots and changes of uplinks.
    pub(super) fn save_marks(&mut self, now: Now) {
        let marks = self.shared.fleet.drain_marks();
        if marks.is_empty() {
            return;
        }
        let saved = self.shared.store.save_marks(&marks);
        if saved.is_err() {
            self.shared.fleet.marks_not_saved(marks);
        }
        self.logged(Task::Events, saved, now.monotonic);
    }

    /// Begins and ends the incidents that no heartbeat decides. After a sweep, when everything in memory is written.
    pub(super) fn judge_setup(&mut self, now: Now) {
        let fleet = &self.shared.fleet;
        let refused = fleet.refused_repeatedly(now.wall);
        let facts = SetupFacts { settings: &fleet.settings(), refused, over: fleet.refusals_over() };
        let judged = self.sweeper.setup(&self.shared.store, &facts, now.wall);
        self.logged(Task::Setup, judged, now.monotonic);
    }
}
