//! The PostgreSQL client. No other file knows its library, which is asynchronous: each connection has a runtime of its own
//! that runs on the caller's thread while a call waits, so everybody else sees calls that block for a bounded time.
//!
//! The library's own blocking client has no limit for a call, and keepalive alone does not notice a stopped server.
//! Statements are sent with the types of their parameters and are never prepared by name, so that pgbouncer may hand out a
//! server for each transaction. For the same reason limits are set for each transaction, and not for the session.

use super::placeholders::Placeholders;
use super::url::{PostgresHost, PostgresUrl, TlsMode};
use crate::monitor::store::error::StoreError;
use crate::monitor::store::value::{Parameter, Value};
use futures_util::future::try_join_all;
use rustls::ClientConfig;
use std::cell::Cell;
use std::fmt;
use std::fs;
use std::time::Duration;
use tokio::runtime::{self, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;
pub use tokio_postgres::Row;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Error, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// For one host, its greeting included: a server that is stopped accepts connections and says nothing.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Keepalive: the first probe after this silence, then one each `PROBE_INTERVAL`; lost after `PROBES`.
const PROBE_AFTER: Duration = Duration::from_secs(5);
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
const PROBES: u32 = 3;
/// The kernel gives up on sent data that is not acknowledged.
const USER_TIMEOUT: Duration = Duration::from_secs(10);
/// The server cancels a statement. Heartbeats are refused when nothing was written for 15 s.
pub const STATEMENT_LIMIT: Duration = Duration::from_secs(8);
/// The server gives up waiting for a row that another transaction has locked.
pub const LOCK_LIMIT: Duration = Duration::from_secs(2);
/// The client gives up on an answer: later than the server, whose error says more.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Statements that are sent before the first one is answered.
const SENT_AT_ONCE: usize = 500;
/// For the farewell to the server.
const CLOSE_LIMIT: Duration = Duration::from_millis(200);

/// Whether a transaction writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionKind {
    /// One snapshot for all statements.
    Read,
    Write,
}

/// A connection to a server.
pub struct PostgresConnection {
    // Dropped before the runtime, which then lets the driver say goodbye to the server.
    client: Client,
    runtime: CallerRuntime,
    texts: Placeholders,
    /// A call got no answer, or the connection was closed: nothing more can be sent.
    is_lost: Cell<bool>,
}

/// A runtime without threads of its own.
struct CallerRuntime {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    /// The library's task that reads and writes the socket.
    driver: Option<JoinHandle<Result<(), Error>>>,
}

impl PostgresConnection {
    /// Connects to the first host that answers, and that allows writes if the URL demands it.
    pub fn open(url: &PostgresUrl, tls: Option<&ClientConfig>) -> Result<PostgresConnection, StoreError> {
        let password = match &url.password_file {
            None => None,
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|error| StoreError::of_file(path, &error))?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        };
        let mut problems = Vec::new();
        for host in &url.hosts {
            let config = host_config(url, host, password.as_deref());
            let opened = match tls.filter(|_| config.get_ssl_mode() != SslMode::Disable) {
                Some(tls) => connect(&config, MakeRustlsConnect::new(tls.clone())),
                None => connect(&config, NoTls),
            };
            match opened {
                Ok(connection) => return Ok(connection),
                Err(problem) => problems.push(format!("{host}: {problem}")),
            }
        }
        Err(StoreError::Unreachable(problems.join("; ")))
    }

    pub fn is_lost(&self) -> bool {
        self.is_lost.get() || self.client.is_closed()
    }

    /// `process` names this store in the table `last_change`.
    pub fn begin(&self, kind: TransactionKind, process: u32) -> Result<(), StoreError> {
        let mode = match kind {
            TransactionKind::Read => "ISOLATION LEVEL REPEATABLE READ READ ONLY",
            TransactionKind::Write => "ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        // The third limit ends the transaction of a monitor that was stopped in the middle of it. Compiling a statement takes a
        // tenth of a second, more than any of ours: they are short, and only look expensive to the planner.
        let sql = format!(
            "BEGIN {mode};
             SET LOCAL statement_timeout = {};
             SET LOCAL lock_timeout = {};
             SET LOCAL idle_in_transaction_session_timeout = {};
             SET LOCAL jit = off;
             SET LOCAL heartbeat.process = {process}",
            STATEMENT_LIMIT.as_millis(),
            LOCK_LIMIT.as_millis(),
            ANSWER_LIMIT.as_millis()
        );
        self.batch(&sql)
    }

    /// # Errors
    /// [`StoreError::Uncertain`] if the server did not answer: the transaction may have taken effect, or may do so later.
    pub fn commit(&self) -> Result<(), StoreError> {
        // The server must not cancel its wait for a standby: what it waits for is already written here.
        let committed = self.batch("SET LOCAL statement_timeout = 0; COMMIT");
        match committed {
            Err(StoreError::Unreachable(_)) => Err(StoreError::Uncertain),
            committed => committed,
        }
    }

    pub fn roll_back(&self) -> Result<(), StoreError> {
        self.batch("ROLLBACK")
    }

    /// Several statements without parameters.
    pub fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.call(self.client.batch_execute(sql))
    }

    /// How many rows were changed.
    pub fn execute(&self, sql: &str, values: &[&dyn Parameter]) -> Result<usize, StoreError> {
        let values: Vec<Value<'_>> = values.iter().map(|value| value.value()).collect();
        let values: Vec<_> = values.iter().map(typed).collect();
        let changed = self.call(self.client.execute_typed(&self.texts.translated(sql), &values))?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    /// All rows: while some are still to be read, no other statement could be sent.
    pub fn query(&self, sql: &str, values: &[&dyn Parameter]) -> Result<Vec<Row>, StoreError> {
        let values: Vec<Value<'_>> = values.iter().map(|value| value.value()).collect();
        let values: Vec<_> = values.iter().map(typed).collect();
        self.call(self.client.query_typed(&self.texts.translated(sql), &values))
    }

    /// Runs a statement once for each row of values; returns how many rows were changed.
    pub fn execute_all<const N: usize>(
        &self,
        sql: &str,
        rows: &[[Value<'_>; N]],
    ) -> Result<usize, StoreError> {
        let text = self.texts.translated(sql);
        let mut changed = 0;
        for rows in rows.chunks(SENT_AT_ONCE) {
            let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(typed)).collect();
            let runs = rows.iter().map(|values| self.client.execute_typed(&text, values));
            changed += self.call(try_join_all(runs))?.into_iter().sum::<u64>();
        }
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    /// All rows of each run.
    pub fn query_all<const N: usize>(
        &self,
        sql: &str,
        rows: &[[Value<'_>; N]],
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        let text = self.texts.translated(sql);
        let mut found = Vec::with_capacity(rows.len());
        for rows in rows.chunks(SENT_AT_ONCE) {
            let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(typed)).collect();
            let runs = rows.iter().map(|values| self.client.query_typed(&text, values));
            found.extend(self.call(try_join_all(runs))?);
        }
        Ok(found)
    }

    fn call<T>(&self, future: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
        if self.is_lost.get() {
            return Err(StoreError::Unreachable("the connection was lost".into()));
        }
        let answer = match self.runtime.run(ANSWER_LIMIT, future) {
            Some(answer) => answer.map_err(StoreError::from),
            None => Err(StoreError::Unreachable(format!("no answer within {} s", ANSWER_LIMIT.as_secs()))),
        };
        if matches!(answer, Err(StoreError::Unreachable(_))) {
            self.is_lost.set(true);
        }
        answer
    }
}

impl fmt::Debug for PostgresConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConnection").field("is_lost", &self.is_lost.get()).finish_non_exhaustive()
    }
}

impl CallerRuntime {
    fn new() -> std::io::Result<CallerRuntime> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(CallerRuntime { runtime: Some(runtime), driver: None })
    }

    /// The output of a future; `None`: it took longer.
    fn run<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let runtime = self.runtime.as_ref()?;
        // The timer is made before it is awaited, and belongs to this runtime.
        let _context = runtime.enter();
        runtime.block_on(timeout(limit, future)).ok()
    }
}

impl Drop for CallerRuntime {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            let _ = self.run(CLOSE_LIMIT, driver);
        }
        // A search for a host's address that hangs is left to its thread.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn host_config(url: &PostgresUrl, host: &PostgresHost, password: Option<&str>) -> Config {
    let mut config = Config::new();
    let mode = match host {
        PostgresHost::Tcp { name, port } => {
            config.host(name).port(*port);
            match url.tls {
                TlsMode::Disable => SslMode::Disable,
                TlsMode::Prefer => SslMode::Prefer,
                TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
            }
        }
        PostgresHost::Socket { directory, port } => {
            config.host_path(directory).port(*port);
            SslMode::Disable
        }
    };
    config
        .ssl_mode(mode)
        .application_name("heartbeat-monitor")
        .connect_timeout(CONNECT_LIMIT)
        .keepalives_idle(PROBE_AFTER)
        .keepalives_interval(PROBE_INTERVAL)
        .keepalives_retries(PROBES)
        .tcp_user_timeout(USER_TIMEOUT);
    if url.needs_primary {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    if let Some(user) = &url.user {
        config.user(user);
    }
    if let Some(database) = &url.database {
        config.dbname(database);
    }
    if let Some(password) = password {
        config.password(password);
    }
    config
}

/// # Errors
/// A sentence without the host.
fn connect<T>(config: &Config, tls: T) -> Result<PostgresConnection, String>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let mut runtime = CallerRuntime::new().map_err(|error| error.to_string())?;
    let (client, connection) = runtime
        .run(CONNECT_LIMIT, config.connect(tls))
        .ok_or_else(|| format!("no answer within {} s", CONNECT_LIMIT.as_secs()))?
        .map_err(|error| sentence(&error))?;
    runtime.driver = runtime.runtime.as_ref().map(|runtime| runtime.spawn(connection));
    Ok(PostgresConnection { client, runtime, texts: Placeholders::default(), is_lost: Cell::new(false) })
}

/// A parameter with its type. That of NULL follows from the place where it stands.
fn typed<'v>(value: &'v Value<'_>) -> (&'v (dyn ToSql + Sync), Type) {
    match value {
        Value::Null => (&None::<&str>, Type::UNKNOWN),
        Value::Boolean(is_true) => (is_true, Type::BOOL),
        Value::Integer(number) => (number, Type::INT8),
        Value::Real(number) => (number, Type::FLOAT8),
        Value::Text(text) => (text, Type::TEXT),
        Value::Blob(bytes) => (bytes, Type::BYTEA),
    }
}

/// The value of a column.
pub fn value(row: &Row, column: usize) -> Result<Value<'_>, StoreError> {
    let Some(kind) = row.columns().get(column).map(|column| column.type_().clone()) else {
        return Err(StoreError::Other(format!("a row has no column {column}")));
    };
    let value = match kind {
        Type::BOOL => row.try_get(column).map(|value: Option<_>| value.map(Value::Boolean)),
        Type::INT2 => row.try_get(column).map(|value: Option<i16>| value.map(|n| Value::Integer(n.into()))),
        Type::INT4 => row.try_get(column).map(|value: Option<i32>| value.map(|n| Value::Integer(n.into()))),
        Type::INT8 => row.try_get(column).map(|value: Option<_>| value.map(Value::Integer)),
        Type::FLOAT4 => row.try_get(column).map(|value: Option<f32>| value.map(|n| Value::Real(n.into()))),
        Type::FLOAT8 => row.try_get(column).map(|value: Option<_>| value.map(Value::Real)),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => {
            row.try_get(column).map(|value: Option<_>| value.map(Value::Text))
        }
        Type::BYTEA => row.try_get(column).map(|value: Option<_>| value.map(Value::Blob)),
        other => return Err(StoreError::Other(format!("column {column} has the type {other}"))),
    };
    Ok(value?.unwrap_or(Value::Null))
}

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        match error.code() {
            None => StoreError::Unreachable(sentence(&error)),
            Some(code) => of_state(code, &error),
        }
    }
}

fn of_state(code: &SqlState, error: &Error) -> StoreError {
    match *code {
        SqlState::DISK_FULL => StoreError::Full,
        SqlState::LOCK_NOT_AVAILABLE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::T_R_SERIALIZATION_FAILURE => StoreError::Busy,
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => StoreError::Corrupt(sentence(error)),
        // A primary that became a standby, and a server that ends, goes on under another address or a little later.
        SqlState::READ_ONLY_SQL_TRANSACTION
        | SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        | SqlState::TOO_MANY_CONNECTIONS => StoreError::Unreachable(sentence(error)),
        _ => StoreError::Other(sentence(error)),
    }
}

/// The library's own text says only "db error" or "error connecting to server".
fn sentence(error: &Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(server), _) => server.message().to_owned(),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
