//! The scripts in examples/, as their heads say they are used.

use crate::support::monitor::Plan;
use std::path::Path;
use std::process::Command;

const HEARTBEAT_IF: &str = "examples/heartbeat-if";

fn heartbeat_if(arguments: &[&str]) -> Option<i32> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(HEARTBEAT_IF);
    let output = Command::new(script).args(arguments).output().expect("it runs");
    output.status.code()
}

#[test]
fn heartbeat_if_sends_a_heartbeat_only_if_its_command_succeeds() {
    let plan = Plan::new();
    let token_file = plan.config_path().with_file_name("nas.token");
    let token_file = token_file.to_str().expect("UTF-8");
    plan.says(&["machine", "add", "nas", "--hostname", "nas", "--token-file", token_file]);
    let monitor = plan.start();
    let url = monitor.url("/api/v1/heartbeat");
    let first = "Machine 1 (nas) sent its first heartbeat";

    assert_eq!(heartbeat_if(&[&url, token_file, "sh", "-c", "exit 7"]), Some(7));
    assert!(monitor.log_lines(first).is_empty(), "a command that fails is not a sign of life");
    assert_eq!(heartbeat_if(&[&url, token_file, "true"]), Some(0));
    monitor.wait_for_line("of the first heartbeat", |line| line.contains(first));
}

#[test]
fn heartbeat_if_reports_a_refusal_and_wrong_usage() {
    let monitor = Plan::new().start();
    let token_file = monitor.plan().config_path().with_file_name("wrong.token");
    std::fs::write(&token_file, "nobodys-token\n").expect("written");
    let token_file = token_file.to_str().expect("UTF-8");
    let url = monitor.url("/api/v1/heartbeat");
    assert_eq!(heartbeat_if(&[&url, token_file, "true"]), Some(1));
    assert_eq!(heartbeat_if(&[&url, "/no/such/token", "true"]), Some(2));
    assert_eq!(heartbeat_if(&[&url, token_file]), Some(2));
}
