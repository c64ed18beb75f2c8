//! Where a database is: a file, or a server of PostgreSQL.

#[cfg(feature = "postgres")]
use super::postgres::url::PostgresUrl;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseLocation {
    /// SQLite.
    File(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresUrl>),
}

impl DatabaseLocation {
    /// A location that is a URL; `None`: the text is none.
    ///
    /// # Errors
    /// A sentence: the URL is wrong, or this program has no client for it. Without the URL: it may have a password.
    pub fn of_url(text: &str) -> Option<Result<DatabaseLocation, String>> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme)?;
        Some(match scheme {
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => {
                PostgresUrl::parse(text).map(|url| DatabaseLocation::Postgres(Box::new(url)))
            }
            #[cfg(not(feature = "postgres"))]
            "postgres" | "postgresql" => {
                Err("this program was built without PostgreSQL (--features monitor,postgres)".into())
            }
            _ => Err("expected the path of a file, or postgres://USER@HOST/DATABASE".into()),
        })
    }

    /// The file; `None`: it is a server.
    pub fn file(&self) -> Option<&Path> {
        match self {
            DatabaseLocation::File(path) => Some(path),
            #[cfg(feature = "postgres")]
            DatabaseLocation::Postgres(_) => None,
        }
    }
}

impl From<PathBuf> for DatabaseLocation {
    fn from(path: PathBuf) -> DatabaseLocation {
        DatabaseLocation::File(path)
    }
}

/// As people read it: without the parameters of a URL.
impl fmt::Display for DatabaseLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseLocation::File(path) => path.display().fmt(f),
            #[cfg(feature = "postgres")]
            DatabaseLocation::Postgres(url) => f.write_str(&url.shown()),
        }
    }
}
