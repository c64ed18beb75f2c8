//! The machines of a simulated fleet: added and removed again, or added before for several simulations.

use super::options::TokenOptions;
use crate::clock::Moment;
use crate::monitor::command::token_file::NewFile;
use crate::monitor::registry::token::Token;
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use std::fs;
use std::path::Path;

pub struct FleetTokens<'a> {
    pub options: &'a TokenOptions,
    pub database: &'a DatabaseLocation,
}

impl FleetTokens<'_> {
    /// The tokens of `count` machines, from the file or of new machines.
    pub fn take(&self, first: u32, count: u32, now: Moment) -> Result<Vec<String>, Refused> {
        match &self.options.tokens {
            Some(file) => read(file, first, count),
            None => self.add(first, count, now),
        }
    }

    /// Removes the machines that were added.
    pub fn give_back(&self, first: u32, count: u32) -> Result<(), Refused> {
        if self.options.keep || self.options.tokens.is_some() {
            return Ok(());
        }
        let store = Store::open_beside(self.database, Moment::now())?;
        store.remove_simulated_range(first, count).map(drop)
    }

    fn add(&self, first: u32, count: u32, now: Moment) -> Result<Vec<String>, Refused> {
        let tokens = Store::open_beside(self.database, now)?.add_simulated_range(first, count, now)?;
        Ok(tokens.iter().map(|token: &Token| token.as_str().to_owned()).collect())
    }

    /// Only adds machines.
    pub fn write(&self, path: &Path, first: u32, count: u32, now: Moment) -> Result<String, Refused> {
        let file = NewFile::create(path)?;
        file.write(&(self.add(first, count, now)?.join("\n") + "\n"))?;
        file.keep();
        Ok(format!("added {count} machines; their tokens are in {}", path.display()))
    }

    pub fn remove_all(&self, now: Moment) -> Result<String, Refused> {
        let removed = Store::open_beside(self.database, now)?.remove_simulated()?;
        Ok(format!("removed {removed} machines"))
    }
}

/// Line `first` of the file and those after it.
fn read(path: &Path, first: u32, count: u32) -> Result<Vec<String>, Refused> {
    let text = fs::read_to_string(path)
        .map_err(|error| Refused::because(format!("{}: cannot be read: {error}", path.display())))?;
    let tokens: Vec<String> =
        text.lines().skip(first as usize - 1).take(count as usize).map(|line| line.trim().into()).collect();
    match tokens.len() == count as usize {
        true => Ok(tokens),
        false => Err(Refused::because(format!(
            "{}: has {} tokens from line {first} on, not {count}",
            path.display(),
            tokens.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_simulation_takes_its_own_lines() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tokens");
        fs::write(&path, "a\nb\nc\nd\n").expect("written");
        assert_eq!(read(&path, 1, 2), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(read(&path, 3, 2), Ok(vec!["c".into(), "d".into()]));
        assert!(read(&path, 4, 2).is_err_and(|why| why.to_string().contains("has 1 tokens from line 4 on")));
    }
}
