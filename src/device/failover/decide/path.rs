//! The interface that heartbeats take: the chosen uplink, unless the kernel's route to the server says otherwise.

use super::{Health, LAST_RESORT, Track, Uplinks, class};
use std::time::Instant;

impl Uplinks {
    /// A heartbeat was delivered over `interface`, perhaps a helping uplink.
    pub(super) fn note_helper(&mut self, interface: &str, is_uplink: bool, now: Instant) {
        // The result of an earlier heartbeat may come late.
        if let Some(pin) = self.pin.as_ref().filter(|_| now > self.pinned_at) {
            let helps = pin.by_default && is_uplink && pin.interface != interface && self.manual.is_none();
            self.helper = helps.then(|| interface.to_owned());
        }
    }

    /// The interface that heartbeats take now.
    pub(super) fn path_now(&self) -> Option<String> {
        match &self.pin {
            // A person's choice goes before a default route, and not before a more specific one.
            Some(pin) if pin.by_default && self.manual.is_some() => self.active.clone(),
            Some(pin) if pin.by_default => self.helper.clone().or_else(|| Some(pin.interface.clone())),
            // Heartbeats fail over a dead uplink; what the rest of the machine uses says more.
            Some(pin) if self.named(&pin.interface).is_none_or(|track| self.is_good(track)) => {
                Some(pin.interface.clone())
            }
            Some(_) | None => self.active.clone(),
        }
    }

    pub(super) fn is_good(&self, track: &Track) -> bool {
        class(self.health(track)).is_some_and(|class| class < LAST_RESORT)
    }

    /// An interface that is not an uplink is not probed: it counts as up.
    pub(super) fn health_of(&self, interface: &str) -> Health {
        self.named(interface).map_or(Health::Up, |track| self.health(track))
    }

    /// Whether heartbeats leave over an interface that is not probed.
    pub(super) fn path_is_unknown(&self) -> bool {
        self.path_now().is_some_and(|path| self.named(&path).is_none())
    }

    /// Whether this is the first configured uplink: of several that match one pattern, the first by name. One that has
    /// disappeared keeps its place.
    pub(super) fn is_first(&self, interface: &str) -> bool {
        self.tracks.first().is_some_and(|track| track.seen.rank == 0 && track.seen.name == interface)
    }
}
