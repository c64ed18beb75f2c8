//! Databases for tests, on a server that runs already.

use super::client::PostgresConnection;
use super::cluster::{self, Cluster};
use super::database::PostgresDatabase;
use super::url::PostgresUrl;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// A database, removed with this.
pub struct ScratchDatabase {
    pub url: PostgresUrl,
    server: PostgresUrl,
    /// That runs while this lives.
    _cluster: Option<Arc<Cluster>>,
}

impl ScratchDatabase {
    /// `server` is the URL of a database in which others may be created.
    pub fn new(server: &str) -> ScratchDatabase {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = PostgresUrl::parse(server).expect("HEARTBEAT_TESTS_DATABASE is a URL");
        let template = template(&server);
        let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let url = create(&server, &format!("test_{process}_{number}"), &format!("TEMPLATE {template}"));
        ScratchDatabase { url, server, _cluster: None }
    }

    /// On the server that `HEARTBEAT_TESTS_DATABASE` names, otherwise on one that the tests start; `None`: no PostgreSQL is
    /// installed.
    pub fn anywhere() -> Option<ScratchDatabase> {
        if let Ok(server) = std::env::var("HEARTBEAT_TESTS_DATABASE") {
            return Some(ScratchDatabase::new(&server));
        }
        let cluster = cluster::shared()?;
        let server = cluster.url(&cluster.database(), "sslmode=disable");
        let database = create(&server, &format!("scratch_{}", fastrand::u32(..)), "");
        Some(ScratchDatabase { url: database, server, _cluster: Some(cluster) })
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

/// Tests insert rows with numbers of their own choice. SQLite continues after the greatest; so does this.
const IDS_FOLLOW: &str = "
CREATE FUNCTION ids_follow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    greatest_id BIGINT;
    last_id BIGINT;
    ids TEXT := pg_get_serial_sequence(TG_TABLE_NAME, 'id');
BEGIN
    EXECUTE format('SELECT max(id) FROM %I', TG_TABLE_NAME) INTO greatest_id;
    EXECUTE format('SELECT last_value FROM %s', ids) INTO last_id;
    IF greatest_id >= last_id THEN
        PERFORM setval(ids, greatest_id);
    END IF;
    RETURN NULL;
END $$;
DO $$
DECLARE
    counted TEXT;
BEGIN
    FOR counted IN SELECT table_name FROM information_schema.columns
                   WHERE table_schema = 'public' AND column_name = 'id' AND is_identity = 'YES' LOOP
        EXECUTE format('CREATE TRIGGER ids_follow AFTER INSERT ON %I EXECUTE FUNCTION ids_follow()', counted);
    END LOOP;
END $$;";

/// The name of a database that has the tables: a copy of it is made faster than they are.
fn template(server: &PostgresUrl) -> &'static str {
    static TEMPLATE: OnceLock<String> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let name = format!("template_{}", std::process::id());
        let url = create(server, &name, "");
        PostgresDatabase::open_beside(&url).expect("tables");
        let connection = PostgresConnection::open(&url, None).expect("connected");
        connection.batch(IDS_FOLLOW).expect("triggers");
        name
    })
}

fn create(server: &PostgresUrl, name: &str, how: &str) -> PostgresUrl {
    let admin = PostgresConnection::open(server, None).expect("the tests' server answers");
    admin.batch(&format!("CREATE DATABASE {name} {how}")).expect("a database");
    PostgresUrl { database: Some(name.to_owned()), ..server.clone() }
}
