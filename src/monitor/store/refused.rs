//! Why a change was refused.

use super::error::{OpenError, StoreError};
use std::fmt;

/// Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The request contradicts the database; a sentence.
    Request(String),
    Open(OpenError),
    Store(StoreError),
}

impl Refused {
    pub fn because(sentence: impl Into<String>) -> Refused {
        Refused::Request(sentence.into())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Request(sentence) => f.write_str(sentence),
            Refused::Open(error) => error.fmt(f),
            Refused::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Refused {
        Refused::Store(error)
    }
}

impl From<OpenError> for Refused {
    fn from(error: OpenError) -> Refused {
        Refused::Open(error)
    }
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Refused {
        Refused::Store(error.into())
    }
}

/// A check's sentence.
impl From<String> for Refused {
    fn from(sentence: String) -> Refused {
        Refused::Request(sentence)
    }
}
