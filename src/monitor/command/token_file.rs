//! Output of a new token: on standard output, or in a file that no other user can read.
//!
//! With `machine add barn > file` the shell creates the file, readable as its umask allows. `--token-file` creates it with
//! mode 0600 and removes it if the command fails.

use crate::monitor::registry::token::Token;
use crate::monitor::store::{Refused, give_to_owner_of_directory};
use clap::Args;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct Destination {
    /// Write the token to this new file with mode 0600 instead of printing it
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Destination {
    /// Runs `make`, which passes the new token to its argument before it commits, and returns the output. After an error
    /// neither the token nor the file exists.
    pub fn deliver(
        &self,
        make: impl FnOnce(&dyn Fn(&Token) -> Result<(), Refused>) -> Result<(String, Token), Refused>,
    ) -> Result<String, Refused> {
        let Some(path) = &self.token_file else {
            // Scripts read the last line: `heartbeat-monitor machine add barn | tail -n 1`.
            let (said, token) = make(&|_| Ok(()))?;
            return Ok(format!("{said}; its token, shown only once:\n{}", token.as_str()));
        };
        let file = NewFile::create(path)?;
        let (said, _) = make(&|token| file.write(&format!("{}\n", token.as_str())))?;
        file.keep();
        Ok(format!("{said}; its token is in {}", path.display()))
    }
}

/// A file that is removed on drop unless it is kept.
pub struct NewFile<'p> {
    path: &'p Path,
    file: File,
    kept: bool,
}

impl NewFile<'_> {
    /// With mode 0600.
    ///
    /// # Errors
    /// It exists, or cannot be created.
    pub fn create(path: &Path) -> Result<NewFile<'_>, Refused> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let path = path.display();
                Refused::because(format!("{path} already exists; name a new file"))
            }
            _ => cannot_write(path, &error),
        })?;
        Ok(NewFile { path, file, kept: false })
    }

    /// Synced to disk: the database keeps only the hash, so a lost file is a lost token.
    pub fn write(&self, text: &str) -> Result<(), Refused> {
        let mut file = &self.file;
        give_to_owner_of_directory(file, self.path)
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_all())
            .map_err(|error| cannot_write(self.path, &error))
    }

    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing else can be done; without its row in the database the token is invalid.
            let _ = fs::remove_file(self.path);
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Refused {
    Refused::because(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::registry::token::TokenUse;
    use std::os::unix::fs::PermissionsExt;

    fn to(path: &Path) -> Destination {
        Destination { token_file: Some(path.to_owned()) }
    }

    fn token() -> Token {
        Token::make(TokenUse::Device).expect("random numbers")
    }

    #[test]
    fn the_file_has_the_token_and_mode_0600_and_nothing_secret_is_printed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, token) = (dir.path().join("barn.token"), token());
        let said = to(&path).deliver(|deliver_token| {
            deliver_token(&token)?;
            Ok(("machine 1 (barn) added".into(), token.clone()))
        });
        let expected = format!("machine 1 (barn) added; its token is in {}", path.display());
        assert_eq!(said, Ok(expected));
        assert_eq!(fs::read_to_string(&path).expect("readable"), format!("{}\n", token.as_str()));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn no_file_is_left_when_the_command_fails() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("barn.token");
        for hand_over_first in [false, true] {
            let said = to(&path).deliver(|deliver_token| {
                if hand_over_first {
                    deliver_token(&token())?;
                }
                Err(Refused::because("the disk is full"))
            });
            assert_eq!(said, Err(Refused::because("the disk is full")));
            assert!(!path.exists());
        }
    }

    #[test]
    fn an_existing_file_and_a_link_to_nowhere_are_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, link) = (dir.path().join("barn.token"), dir.path().join("link"));
        fs::write(&path, "old").expect("written");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &link).expect("a link");
        for path in [&path, &link] {
            let said = to(path).deliver(|_| panic!("nothing may be made"));
            assert!(said.expect_err("it exists").to_string().ends_with("already exists; name a new file"));
        }
        assert_eq!(fs::read_to_string(&path).expect("readable"), "old");
        assert!(fs::symlink_metadata(&link).is_ok());
    }
}
