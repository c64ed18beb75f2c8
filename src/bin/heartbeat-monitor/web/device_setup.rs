//! How a device enrols with a key that was just made: the command, its script, the same in steps, and files for an SD card.

use super::context::PageContext;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use heartbeat_daemon::monitor::packages::card::Card;
use heartbeat_daemon::monitor::packages::install::InstallGuide;
use heartbeat_daemon::monitor::registry::token::Token;

/// Shown beside a new key.
pub struct DeviceSetup {
    pub site: String,
    pub command: String,
    pub script: String,
    /// Title and commands.
    pub steps: [(&'static str, String); 3],
    /// `None`: the key is for several devices, and a card is for one.
    pub card: Option<CardFiles>,
}

/// The content of the files, in base64 for `data:` links.
pub struct CardFiles {
    pub enrolment: String,
    pub vendor_data: String,
}

impl DeviceSetup {
    /// `uses`: devices that can use the key.
    ///
    /// # Errors
    /// A sentence: this monitor offers no packages.
    pub fn new(context: &PageContext, key: &Token, uses: u32) -> Result<DeviceSetup, &'static str> {
        let offer = context.offered.get();
        let guide = offer.script.guide.as_ref().map_err(|reason| *reason)?;
        Ok(DeviceSetup {
            site: guide.site.clone(),
            command: guide.command(),
            script: guide.script(),
            steps: guide.steps(),
            card: (uses == 1).then(|| CardFiles::new(guide, key)),
        })
    }
}

impl CardFiles {
    fn new(guide: &InstallGuide, key: &Token) -> CardFiles {
        let card = Card { guide, name: None };
        CardFiles {
            enrolment: STANDARD.encode(card.enrolment(key)),
            vendor_data: STANDARD.encode(card.vendor_data()),
        }
    }
}
