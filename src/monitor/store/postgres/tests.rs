//! The client against a server of its own. Without PostgreSQL the tests say so and end.

use super::client::*;
use super::cluster::{Cluster, shared};
use super::link::{PostgresLink, PostgresWay};
use super::url::PostgresUrl;
use crate::clock::Moment;
use crate::monitor::store::Store;
use crate::monitor::store::changes::ChangesByOthers;
use crate::monitor::store::error::StoreError;
use crate::monitor::store::sql::{self, Connection, Transaction, Value, params};
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A cluster and a database in it.
fn cluster() -> Option<(Arc<Cluster>, String)> {
    let Some(cluster) = shared() else {
        eprintln!("skipped: no PostgreSQL is installed");
        assert_ne!(
            std::env::var("HEARTBEAT_TESTS_SKIP").as_deref(),
            Ok("never"),
            "no PostgreSQL is installed"
        );
        return None;
    };
    let database = cluster.database();
    Some((cluster, database))
}

fn link(url: PostgresUrl) -> PostgresLink {
    PostgresLink::new(&Arc::new(PostgresWay::new(url, 1).expect("a way")))
}

fn number(connection: &PostgresConnection, sql: &str) -> Result<Option<i64>, StoreError> {
    let rows = connection.query(sql, &[])?;
    Ok(match rows.first().map(|row| value(row, 0)).transpose()? {
        Some(Value::Integer(number)) => Some(number),
        _ => None,
    })
}

/// The process of the server that serves a connection.
fn backend(connection: &PostgresConnection) -> Pid {
    let id = number(connection, "SELECT pg_backend_pid()").expect("read").expect("an id");
    Pid::from_raw(i32::try_from(id).expect("a process id")).expect("a process id")
}

#[test]
fn each_kind_of_value_goes_in_and_comes_out_as_it_was() {
    let Some((cluster, database)) = cluster() else { return };
    let connection =
        PostgresConnection::open(&cluster.url(&database, "sslmode=disable"), None).expect("connected");
    connection
        .batch("CREATE TABLE kept (a BIGINT, b BOOLEAN, c DOUBLE PRECISION, d TEXT, e BYTEA)")
        .expect("made");
    let insert = "INSERT INTO kept VALUES (?1, ?2, ?3, ?4, ?5)";
    let full = params![i64::MIN, true, 0.1, "it's ?1", [0_u8, 255]];
    assert_eq!(connection.execute(insert, full), Ok(1));
    let empty = params![None::<i64>, None::<bool>, None::<f64>, None::<String>, None::<Vec<u8>>];
    assert_eq!(connection.execute(insert, empty), Ok(1));
    let rows = connection
        .query("SELECT a, b, c, d, e FROM kept WHERE a = ?1 OR a IS NULL ORDER BY a", params![i64::MIN]);
    let rows = rows.expect("read");
    let values = |row: usize| [0, 1, 2, 3, 4].map(|column| value(&rows[row], column).expect("a value"));
    let expected = [
        Value::Integer(i64::MIN),
        Value::Boolean(true),
        Value::Real(0.1),
        Value::Text("it's ?1"),
        Value::Blob(&[0, 255]),
    ];
    assert_eq!(values(0), expected);
    assert_eq!(values(1), [Value::Null; 5]);
    assert_eq!(connection.execute("UPDATE kept SET a = 1", &[]), Ok(2));
    assert!(matches!(connection.execute("INSERT INTO nowhere VALUES (1)", &[]), Err(StoreError::Other(_))));
    assert!(!connection.is_lost(), "an error of the server leaves the connection");
}

#[test]
fn a_transaction_is_kept_as_a_whole_or_not_at_all() {
    let Some((cluster, database)) = cluster() else { return };
    let mut link = link(cluster.url(&database, ""));
    let made = link.transact(TransactionKind::Write, |c| c.batch("CREATE TABLE kept (a BIGINT)"));
    assert_eq!(made, Ok(()));
    let refused = link.transact(TransactionKind::Write, |c| {
        c.execute("INSERT INTO kept VALUES (1)", &[])?;
        Err::<(), _>(StoreError::Busy)
    });
    assert_eq!(refused, Err(StoreError::Busy));
    let written = link.transact(TransactionKind::Write, |c| c.execute("INSERT INTO kept VALUES (2)", &[]));
    assert_eq!(written, Ok(1));
    let read = link.transact(TransactionKind::Read, |c| {
        assert!(matches!(
            c.execute("DELETE FROM kept", &[]),
            Err(StoreError::Unreachable(_) | StoreError::Other(_))
        ));
        Err::<(), _>(StoreError::Busy)
    });
    assert_eq!(read, Err(StoreError::Busy));
    assert_eq!(
        link.transact(TransactionKind::Read, |c| number(c, "SELECT sum(a)::BIGINT FROM kept")),
        Ok(Some(2))
    );
}

#[test]
fn a_connection_that_the_server_has_closed_is_made_again_without_an_error() {
    let Some((cluster, database)) = cluster() else { return };
    let mut link = link(cluster.url(&database, ""));
    let first = link.transact(TransactionKind::Read, |c| Ok::<_, StoreError>(backend(c))).expect("connected");
    let admin = PostgresConnection::open(&cluster.url("postgres", ""), None).expect("connected");
    let ended = "SELECT CASE WHEN pg_terminate_backend(?1::INTEGER, 10000) THEN 1::BIGINT END";
    let id = i64::from(first.as_raw_nonzero().get());
    assert_eq!(admin.query(ended, params![id]).expect("ended").len(), 1);
    let second =
        link.transact(TransactionKind::Read, |c| Ok::<_, StoreError>(backend(c))).expect("connected again");
    assert_ne!(first, second);
}

#[test]
fn a_server_that_stops_answering_costs_ten_seconds_and_a_commit_is_uncertain_then() {
    let Some((cluster, database)) = cluster() else { return };
    let mut link = link(cluster.url(&database, ""));
    link.transact(TransactionKind::Write, |c| c.batch("CREATE TABLE kept (a BIGINT)")).expect("made");
    let begin = Instant::now();
    let mut stopped = None;
    let committed = link.transact(TransactionKind::Write, |c| {
        let id = backend(c);
        c.execute("INSERT INTO kept VALUES (1)", &[])?;
        kill_process(id, Signal::STOP).expect("stopped");
        stopped = Some(id);
        Ok(())
    });
    let took = begin.elapsed();
    kill_process(stopped.expect("it was stopped"), Signal::CONT).expect("continued");
    assert_eq!(committed, Err(StoreError::Uncertain));
    assert!(took >= ANSWER_LIMIT && took < ANSWER_LIMIT * 2, "{took:?}");
    // On a new connection; which of both it is depends on the server.
    let rows =
        link.transact(TransactionKind::Read, |c| number(c, "SELECT count(*) FROM kept")).expect("read");
    assert!(matches!(rows, Some(0 | 1)), "{rows:?}");
}

#[test]
fn a_host_that_accepts_and_is_silent_is_passed_over_and_a_standby_too() {
    let Some((cluster, database)) = cluster() else { return };
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("its number").port();
    let hosts = format!("127.0.0.1:{port},127.0.0.1:{}", cluster.port);
    let url = |more: &str| {
        PostgresUrl::parse(&format!("postgres://monitor@{hosts}/{database}?{more}")).expect("a URL")
    };
    let begin = Instant::now();
    let connection =
        PostgresConnection::open(&url("target_session_attrs=read-write"), None).expect("the second one");
    assert!(begin.elapsed() >= CONNECT_LIMIT && begin.elapsed() < CONNECT_LIMIT * 2, "{:?}", begin.elapsed());
    connection
        .batch(&format!("ALTER DATABASE {database} SET default_transaction_read_only = on"))
        .expect("set");
    let refused = PostgresConnection::open(&cluster.url(&database, "target_session_attrs=read-write"), None);
    let refused = refused.expect_err("it allows no writes").to_string();
    assert!(refused.contains("database does not allow writes"), "{refused}");
}

#[test]
fn after_a_failure_the_next_attempt_waits_and_says_the_same() {
    let nowhere = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
    let url = PostgresUrl::parse(&format!("postgres://monitor@127.0.0.1:{nowhere}/x")).expect("a URL");
    let mut link = link(url);
    let mut attempt =
        || link.transact(TransactionKind::Read, |_| Ok::<_, StoreError>(())).expect_err("nobody listens");
    let first = attempt();
    assert!(matches!(&first, StoreError::Unreachable(why) if why.contains("refused")), "{first:?}");
    let begin = Instant::now();
    assert_eq!(attempt(), first);
    assert!(begin.elapsed() < Duration::from_millis(50), "it does not try: {:?}", begin.elapsed());
}

#[test]
fn a_lock_that_somebody_holds_is_waited_for_two_seconds() {
    let Some((cluster, database)) = cluster() else { return };
    let url = cluster.url(&database, "");
    let (mut one, mut other) = (link(url.clone()), link(url));
    let make = "CREATE TABLE kept (a BIGINT); INSERT INTO kept VALUES (1)";
    one.transact(TransactionKind::Write, |c| c.batch(make)).expect("made");
    let update = |c: &PostgresConnection| c.execute("UPDATE kept SET a = a + 1", &[]);
    let begin = Instant::now();
    let updated = one.transact(TransactionKind::Write, |c| {
        update(c)?;
        assert_eq!(other.transact(TransactionKind::Write, update), Err(StoreError::Busy));
        Ok::<_, StoreError>(())
    });
    assert_eq!(updated, Ok(()));
    assert!(begin.elapsed() >= LOCK_LIMIT && begin.elapsed() < STATEMENT_LIMIT, "{:?}", begin.elapsed());
    assert_eq!(other.transact(TransactionKind::Write, update), Ok(1));
}

#[test]
fn the_password_is_read_from_its_file_at_each_attempt() {
    let Some((cluster, database)) = cluster() else { return };
    let admin = PostgresConnection::open(&cluster.url(&database, ""), None).expect("connected");
    admin
        .batch("DROP ROLE IF EXISTS secretive; CREATE ROLE secretive LOGIN PASSWORD 'open sesame'")
        .expect("made");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("password");
    let text =
        format!("postgres://secretive@127.0.0.1:{}/{database}?passfile={}", cluster.port, file.display());
    let url = PostgresUrl::parse(&text).expect("a URL");
    std::fs::write(&file, "wrong\n").expect("written");
    let refused = PostgresConnection::open(&url, None).expect_err("a wrong password").to_string();
    assert!(refused.contains("password authentication failed") && !refused.contains("wrong"), "{refused}");
    std::fs::write(&file, "open sesame\n").expect("written");
    PostgresConnection::open(&url, None).expect("the right password");
}

#[test]
fn each_sslmode_checks_what_it_promises() {
    let Some((cluster, database)) = cluster() else { return };
    let admin = PostgresConnection::open(&cluster.url(&database, ""), None).expect("connected");
    admin.batch("DROP ROLE IF EXISTS encrypted; CREATE ROLE encrypted LOGIN").expect("made");
    let ca = format!("&sslrootcert={}", cluster.dir.path().join("ca.pem").display());
    let dir = tempfile::tempdir().expect("a directory");
    let stranger = rcgen::generate_simple_self_signed(vec!["stranger".to_owned()]).expect("a certificate");
    let other_file = dir.path().join("other.pem");
    std::fs::write(&other_file, super::cluster::pem("CERTIFICATE", stranger.cert.der())).expect("written");
    let other = format!("&sslrootcert={}", other_file.display());
    // The certificate is for 127.0.0.1.
    let (right, wrong) = ("127.0.0.1", "localhost");
    for (host, mode, file, works) in [
        (right, "disable", "", false),
        (wrong, "prefer", "", true),
        (wrong, "require", "", true),
        (wrong, "require", &ca, true),
        (right, "require", &other, false),
        (wrong, "verify-ca", &ca, true),
        (right, "verify-ca", &other, false),
        (right, "verify-ca", "", false),
        (right, "verify-full", &ca, true),
        (wrong, "verify-full", &ca, false),
        (right, "verify-full", "", false),
    ] {
        let text = format!("postgres://encrypted@{host}:{}/{database}?sslmode={mode}{file}", cluster.port);
        let mut link = link(PostgresUrl::parse(&text).expect("a URL"));
        let sql = "SELECT ssl::INTEGER FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let tls = link.transact(TransactionKind::Read, |c| number(c, sql));
        match works {
            true => assert_eq!(tls, Ok(Some(1)), "{host} {mode} {file}"),
            false => assert!(matches!(tls, Err(StoreError::Unreachable(_))), "{host} {mode} {file}: {tls:?}"),
        }
    }
}

#[test]
fn the_statements_of_a_subject_run_on_it_as_they_are() {
    let Some((cluster, database)) = cluster() else { return };
    let mut link = link(cluster.url(&database, ""));
    let seen = link.transact(TransactionKind::Write, |connection| {
        let tx = Transaction::of_postgres(connection);
        tx.execute_batch(
            "CREATE TABLE kept (id BIGSERIAL PRIMARY KEY, name TEXT NOT NULL UNIQUE, is_on BOOLEAN NOT NULL)",
        )?;
        let mut insert =
            tx.prepare("INSERT INTO kept (name, is_on) VALUES (?1, ?2) ON CONFLICT DO NOTHING RETURNING id")?;
        let id = |row: &sql::Row<'_>| row.get::<i64>(0);
        assert_eq!(insert.query_row(params!["barn", true], id)?, 1);
        assert_eq!(insert.query_optional(params!["barn", false], id)?, None);
        assert_eq!(insert.execute(params!["gate", false])?, 1);
        assert!(tx.exists("SELECT 1 FROM kept WHERE NOT is_on", &[])?);
        tx.query_all("SELECT name, is_on FROM kept WHERE name <> ?1 ORDER BY name", params!["silo"], |row| {
            Ok((row.get::<String>(0)?, row.get::<bool>(1)?))
        })
    });
    assert_eq!(seen, Ok(vec![("barn".to_owned(), true), ("gate".to_owned(), false)]));
    let refused = link.transact(TransactionKind::Read, |connection| {
        Connection::of_postgres(connection).query_row("SELECT 'text'", &[], |row| row.get::<i64>(0))
    });
    assert!(
        matches!(&refused, Err(StoreError::Other(why)) if why.contains("column 0 has a text")),
        "{refused:?}"
    );
}

#[test]
fn a_transaction_with_many_changes_is_one_change_of_each_kind_for_the_others() {
    let Some(own) = Store::scratch_on_postgres() else { return };
    let other = Store::open_beside(own.location(), Moment(0)).expect("a second one");
    let machines = "INSERT INTO machine (name, created_at) VALUES ('barn', 0), ('shed', 0);
                    INSERT INTO machine_state (machine_id, status, watched, since) SELECT id, 1, TRUE, 0 FROM machine;
                    UPDATE machine SET description = 'a';
                    UPDATE machine_state SET status = 2 WHERE machine_id = 1;
                    UPDATE machine_state SET status = 2 WHERE machine_id = 2";
    let numbers = "SELECT string_agg(what || ' ' || number, ', ' ORDER BY what) FROM last_change";
    let change = |sql: &str| {
        own.write(|transaction| transaction.execute_batch(sql)).expect("changed");
        let found = other.changed_by_others().expect("read");
        let numbers: String =
            other.read(|connection| connection.query_row(numbers, &[], |row| row.get(0))).expect("read");
        (found.settings, found.statuses, numbers)
    };
    assert_eq!(change(machines), (true, true, "settings 1, status 1".into()));
    let again = "UPDATE machine_state SET status = 1; UPDATE machine_state SET status = 2";
    assert_eq!(change(again), (false, true, "settings 1, status 2".into()));
    for reported in ["UPDATE machine_state SET last_seen = 1", "UPDATE machine SET hostname = 'pi'"] {
        assert_eq!(change(reported), (false, false, "settings 1, status 2".into()), "{reported}");
    }
}

#[test]
fn changes_of_programs_that_have_ended_are_forgotten_and_those_since_the_last_look_are_not() {
    let Some(own) = Store::scratch_on_postgres() else { return };
    let other = Store::open_beside(own.location(), Moment(0)).expect("a second one");
    let run = |sql: &str| own.write(|transaction| transaction.execute_batch(sql)).expect("changed");
    run("INSERT INTO last_change VALUES (5, 'settings', 3, now() - INTERVAL '2 days'), (6, 'settings', 4, now()),
                                        (7, 'settings', 2, now() - INTERVAL '2 days'), (7, 'status', 1, now() - INTERVAL '2 days')");
    assert_eq!(other.changed_by_others(), Ok(ChangesByOthers { settings: true, statuses: true }));
    for _ in 0..2 {
        own.forget_old_changes().expect("forgotten");
        assert_eq!(other.changed_by_others(), Ok(ChangesByOthers { settings: false, statuses: false }));
    }
    let sql = "SELECT string_agg(process || ' ' || what || ' ' || number, ', ' ORDER BY process, what) FROM last_change";
    let rest: String = own.read(|connection| connection.query_row(sql, &[], |row| row.get(0))).expect("read");
    assert_eq!(rest, "0 settings 5, 0 status 1, 6 settings 4");
}

#[test]
fn a_statement_runs_once_for_each_of_many_rows_and_an_error_is_that_of_the_row() {
    let Some((cluster, database)) = cluster() else { return };
    let mut link = link(cluster.url(&database, ""));
    let mut run = |numbers: std::ops::Range<i64>| {
        link.transact(TransactionKind::Write, |connection| {
            let tx = Transaction::of_postgres(connection);
            tx.execute_batch("CREATE TABLE IF NOT EXISTS kept (number BIGINT PRIMARY KEY, half BIGINT CHECK (half < 1000))")?;
            let rows = numbers.clone().map(|number| [Value::Integer(number), Value::Integer(number / 2)]);
            let written = tx.prepare("INSERT INTO kept VALUES (?1, ?2)")?.execute_all(rows)?;
            let keys: Vec<_> = numbers.map(|number| [Value::Integer(number * 2)]).collect();
            let mut select = tx.prepare("SELECT half FROM kept WHERE number = ?1")?;
            let halves = select.query_optional_all(&keys, |row| row.get::<i64>(0))?;
            Ok::<_, StoreError>((written, halves))
        })
    };
    let (written, halves) = run(0..1_200).expect("written");
    assert_eq!(written, 1_200, "more than are sent at once");
    assert_eq!(halves[..600], (0..600).map(Some).collect::<Vec<_>>()[..]);
    assert_eq!(halves[600..], [None; 600]);
    let refused = run(1_900..2_100);
    assert!(
        matches!(&refused, Err(StoreError::Other(why)) if why.contains("kept_half_check")),
        "{refused:?}"
    );
    assert_eq!(run(1_200..1_201).expect("the connection is not lost").0, 1);
}
