//! Why a change was refused.

use super::error::{OpenError, StoreError};

/// Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The request contradicts the database; a sentence.
    #[error("{0}")]
    Request(String),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refused {
    pub fn because(sentence: impl Into<String>) -> Refused {
        Refused::Request(sentence.into())
    }
}

/// A check's sentence.
impl From<String> for Refused {
    fn from(sentence: String) -> Refused {
        Refused::Request(sentence)
    }
}
