//! nginx, which answers 204 to whatever is posted and does nothing else: what HTTP itself costs here.

use crate::parts::Outcome;
use heartbeat_daemon::monitor::simulation::{Content, Plan};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub struct Nginx {
    address: SocketAddr,
    child: Child,
    _dir: TempDir,
}

impl Nginx {
    /// `None` where it is not installed.
    pub fn start() -> Outcome<Option<Nginx>> {
        let dir = TempDir::with_prefix("heartbeat-nginx-").map_err(|error| error.to_string())?;
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let address = free.map_err(|error| error.to_string())?;
        let config = dir.path().join("nginx.conf");
        fs::write(&config, configuration(address, &dir)).map_err(|error| error.to_string())?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&config).arg("-p").arg(dir.path()).stderr(Stdio::null());
        let Ok(child) = command.spawn() else { return Ok(None) };
        let nginx = Nginx { address, child, _dir: dir };
        let end = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(address).is_err() {
            if Instant::now() > end {
                return Err("nginx does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(nginx))
    }

    /// Of master and workers, since they started.
    pub fn cpu(&self) -> Outcome<Duration> {
        let said = |error: procfs::ProcError| format!("nginx: {error}");
        let master = self.child.id() as i32;
        let mut on_cpu = Duration::ZERO;
        for process in procfs::process::all_processes().map_err(said)?.flatten() {
            let Ok(stat) = process.stat() else { continue };
            if stat.pid == master || stat.ppid == master {
                on_cpu += Duration::from_nanos(process.schedstat().map_err(said)?.sum_exec_runtime);
            }
        }
        Ok(on_cpu)
    }

    pub fn plan(&self, tokens: &[String]) -> Plan {
        Plan::new(self.address, &self.address.to_string(), "/api/v1/heartbeat", tokens, Content::Live)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM, so that the master takes its workers with it.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// One worker for each CPU, no log, connections that are never closed for their age.
fn configuration(address: SocketAddr, dir: &TempDir) -> String {
    let dir = dir.path().display();
    format!(
        "daemon off; worker_processes auto; pid {dir}/pid; error_log /dev/null;\n\
         events {{ worker_connections 20000; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {dir}/body;\n\
         proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n\
         server {{ listen {address}; location / {{ return 204; }} }} }}\n"
    )
}
