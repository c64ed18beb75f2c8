//! `heartbeat-monitor enroll card DIRECTORY`: files for the boot partition of a new SD card.

use super::token_file::NewFile;
use crate::clock::Moment;
use crate::config::Period;
use crate::monitor::packages::card::{Card, is_hostname};
use crate::monitor::packages::offer::Offer;
use crate::monitor::registry::enrolment::NewKey;
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct CardArguments {
    /// The mounted boot partition, or any other directory
    directory: PathBuf,
    /// Name of the machine; default: the device's hostname
    #[arg(long)]
    name: Option<String>,
    /// How long the key is valid, such as 12h or 7d
    #[arg(long = "for", value_name = "TIME", default_value = "7d")]
    valid: Period,
    /// Group of the machine
    #[arg(long)]
    group: Option<String>,
    /// The device waits until you approve it
    #[arg(long)]
    approve: bool,
    /// Also write user-data and meta-data, for an image that Raspberry Pi Imager does not prepare
    #[arg(long)]
    seed: bool,
    /// With --seed: public key of the account of the image, for ssh
    #[arg(long, value_name = "FILE", requires = "seed")]
    ssh_key: Option<PathBuf>,
}

/// Returns the output. After an error neither the key nor a file of it exists.
pub fn run(
    arguments: &CardArguments,
    database: &DatabaseLocation,
    offer: &Offer,
    now: Moment,
) -> Result<String, Refused> {
    let guide = offer.script.guide.as_ref().map_err(|reason| Refused::because(*reason))?;
    let name = arguments.name.as_deref();
    if name.is_some_and(|name| !is_hostname(name)) {
        return Err(Refused::because("--name becomes the hostname: use letters, digits and hyphens"));
    }
    let card = Card { guide, name };
    let mut texts = vec![("vendor-data", card.vendor_data())];
    if arguments.seed {
        let ssh_key = arguments.ssh_key.as_deref().map(read_ssh_key).transpose()?;
        texts.push(("user-data", card.user_data(ssh_key.as_deref())));
        texts.push(("meta-data", card.meta_data(fastrand::u64(..))));
    }
    let paths: Vec<PathBuf> = texts.iter().map(|(name, _)| arguments.directory.join(name)).collect();
    let secret = arguments.directory.join("heartbeat.toml");
    let mut files = Vec::new();
    for (path, (_, text)) in paths.iter().zip(&texts) {
        let file = NewFile::create(path)?;
        file.write(text)?;
        files.push(file);
    }
    let file = NewFile::create(&secret)?;
    let new = NewKey {
        valid: arguments.valid.0,
        uses: 1,
        group: arguments.group.clone(),
        needs_approval: arguments.approve,
    };
    Store::open_beside(database, now)?.add_key(&new, now, &|key| file.write(&card.enrolment(key)))?;
    files.push(file);
    files.into_iter().for_each(NewFile::keep);
    Ok(format!(
        "{} enrols one device within {}; keep it secret until then. Nothing of the image was changed.",
        secret.display(),
        arguments.valid
    ))
}

/// The line of a public key.
fn read_ssh_key(path: &Path) -> Result<String, Refused> {
    let place = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Refused::because(format!("cannot read {place}: {error}")))?;
    let line = text.trim();
    if line.contains('\n') || !line.contains(' ') || line.contains("PRIVATE KEY") {
        return Err(Refused::because(format!("{place} is not one line with a public key")));
    }
    Ok(line.to_owned())
}
