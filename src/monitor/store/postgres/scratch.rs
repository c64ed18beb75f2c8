//! Databases for tests, on a server that runs already.

use super::url::PostgresUrl;
use super::{PostgresConnection, PostgresDatabase};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A database, removed with this.
pub struct ScratchDatabase {
    pub url: PostgresUrl,
    server: PostgresUrl,
}

impl ScratchDatabase {
    /// `server` is the URL of a database in which others may be created.
    pub fn new(server: &str) -> ScratchDatabase {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = PostgresUrl::parse(server).expect("HEARTBEAT_TESTS_DATABASE is a URL");
        let template = template(&server);
        let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let url = create(&server, &format!("test_{process}_{number}"), &format!("TEMPLATE {template}"));
        ScratchDatabase { url, server }
    }
}

impl Drop for ScratchDatabase {
    fn drop(&mut self) {
        let (Ok(admin), Some(name)) = (PostgresConnection::open(&self.server, None), &self.url.database)
        else {
            return;
        };
        let _ = admin.batch(&format!("DROP DATABASE {name} WITH (FORCE)"));
    }
}

/// The name of a database that has the tables: a copy of it is made faster than they are.
fn template(server: &PostgresUrl) -> &'static str {
    static TEMPLATE: OnceLock<String> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let name = format!("template_{}", std::process::id());
        let url = create(server, &name, "");
        PostgresDatabase::open(&url).expect("tables");
        name
    })
}

fn create(server: &PostgresUrl, name: &str, how: &str) -> PostgresUrl {
    let admin = PostgresConnection::open(server, None).expect("the tests' server answers");
    admin.batch(&format!("CREATE DATABASE {name} {how}")).expect("a database");
    PostgresUrl { database: Some(name.to_owned()), ..server.clone() }
}
