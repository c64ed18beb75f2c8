//! After which silence other monitors take over.

use std::time::Duration;

/// A monitor that has not written for this long is dead for the others: they judge its machines and send its notifications.
pub const MONITOR_LAPSES: Duration = Duration::from_secs(15);

/// Who holds a duty has to take it on again within this time.
pub const DUTY_LAPSES: Duration = Duration::from_secs(30);
