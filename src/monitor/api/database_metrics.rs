//! Metrics of a database that several monitors can share: these monitors, and the server's upkeep.

use crate::clock::Moment;
use crate::exposition::Exposition;
use crate::monitor::instances::table::Instance;
use crate::monitor::store::Store;
use crate::monitor::store::figures::{ServerFigures, TableFigures};

/// Nothing for a database in a file; what cannot be read is missing.
pub fn shared_database(text: &mut Exposition, store: &Store, now: Moment) {
    if store.process().is_none() {
        return;
    }
    if let Ok(monitors) = store.instances() {
        instances(text, &monitors, now);
    }
    if let Ok(Some(figures)) = store.server_figures() {
        server(text, &figures);
    }
}

fn instances(text: &mut Exposition, instances: &[Instance], now: Moment) {
    type OfInstance = fn(&Instance, Moment) -> f64;
    let families: [(&str, &str, OfInstance); 3] = [
        (
            "heartbeat_monitor_instance_alive",
            "1 if this monitor of the database is alive.",
            |instance, now| {
                if instance.is_alive(now) { 1.0 } else { 0.0 }
            },
        ),
        (
            "heartbeat_monitor_instance_clock_difference_seconds",
            "Its own clock minus the database's.",
            |instance, _| instance.clock_difference as f64 / 1000.0,
        ),
        (
            "heartbeat_monitor_instance_heartbeats",
            "Heartbeats a second that it received last.",
            |instance, _| instance.heartbeats,
        ),
    ];
    for (name, help, figure) in families {
        text.family(name, help, "gauge");
        for instance in instances {
            let process = instance.process.to_string();
            text.sample(name, &[("host", &instance.host), ("process", &process)], figure(instance, now));
        }
    }
}

fn server(text: &mut Exposition, figures: &ServerFigures) {
    type OfTable = fn(&TableFigures) -> i64;
    let each = |figure: OfTable| -> Vec<(&str, f64)> {
        figures.tables.iter().map(|table| (table.name.as_str(), figure(table) as f64)).collect()
    };
    let families: [(&str, &str, OfTable); 4] = [
        ("heartbeat_monitor_table_dead_rows", "Replaced or removed rows that still take space.", |t| {
            t.dead_rows
        }),
        ("heartbeat_monitor_table_rows", "Rows, as PostgreSQL estimates them.", |t| t.live_rows),
        ("heartbeat_monitor_table_updates", "Updates since the statistics were reset.", |t| t.updates),
        ("heartbeat_monitor_table_hot_updates", "Updates that changed no index.", |t| t.hot_updates),
    ];
    for (name, help, figure) in families {
        text.gauges(name, help, "table", &each(figure));
    }
    if let Some(age) = figures.oldest_transaction_s {
        let help = "Age of the oldest transaction in the database; dead rows since then cannot be removed.";
        text.gauge("heartbeat_monitor_oldest_transaction_seconds", help, age);
    }
    if let Some(lag) = figures.replication_lag_bytes {
        let help = "Bytes of the write-ahead log that the slowest standby has not applied.";
        text.gauge("heartbeat_monitor_replication_lag_bytes", help, lag as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_monitor_and_a_bloated_table_are_told_apart_from_others() {
        let now = Moment(1_769_005_800_000);
        let instance = |process, dead| Instance {
            process,
            host: "a".into(),
            version: "1".into(),
            started: Moment(0),
            alive: now,
            dead,
            clock_difference: -1500,
            heartbeats: 2.5,
        };
        let table =
            TableFigures { name: "event".into(), dead_rows: 7, live_rows: 5, updates: 4, hot_updates: 3 };
        let mut text = Exposition::default();
        instances(&mut text, &[instance(1, None), instance(2, Some(now))], now);
        server(&mut text, &ServerFigures { tables: vec![table], ..ServerFigures::default() });
        let text = text.into_text();
        for line in [
            "heartbeat_monitor_instance_alive{host=\"a\",process=\"1\"} 1",
            "heartbeat_monitor_instance_alive{host=\"a\",process=\"2\"} 0",
            "heartbeat_monitor_instance_clock_difference_seconds{host=\"a\",process=\"1\"} -1.5",
            "heartbeat_monitor_table_dead_rows{table=\"event\"} 7",
            "heartbeat_monitor_table_hot_updates{table=\"event\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("replication_lag"), "absent is not zero");
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_server_says_how_its_tables_are() {
        let Some(store) = Store::scratch_on_postgres() else { return };
        let figures = store.server_figures().expect("read").expect("a server");
        assert!(figures.tables.iter().any(|table| table.name == "machine_state"), "{figures:?}");
        assert_eq!(figures.replication_lag_bytes, None, "there is no standby");
        assert_eq!(Store::scratch_file().server_figures(), Ok(None));
    }
}
