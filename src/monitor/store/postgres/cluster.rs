//! A PostgreSQL cluster for tests: in a scratch directory, on a free port, ended by its process id.

use super::url::PostgresUrl;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The user that Debian's package makes; the server refuses to run as root.
const USER: &str = "postgres";
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server; it ends with this.
pub struct Cluster {
    server: Child,
    pub port: u16,
    pub dir: TempDir,
    databases: AtomicU32,
}

/// The cluster that the tests of this process share; `None`: no PostgreSQL is installed here.
pub fn shared() -> Option<Arc<Cluster>> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cluster) = shared.upgrade() {
        return Some(cluster);
    }
    let cluster = Arc::new(Cluster::start(&programs()?));
    *shared = Arc::downgrade(&cluster);
    Some(cluster)
}

/// The directory with `initdb` and `postgres`, which are not in PATH on Debian.
fn programs() -> Option<PathBuf> {
    let versions =
        fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|version| version.path().join("bin"));
    versions.filter(|programs| programs.join("initdb").exists()).max()
}

impl Cluster {
    fn start(programs: &Path) -> Cluster {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let root = rustix::process::geteuid().is_root();
        if root {
            chown(dir.path(), user_id("-u"), user_id("-g")).expect("given to the server's user");
        }
        write_certificates(dir.path(), root);
        let data = dir.path().join("data");
        let initdb = programs.join("initdb");
        let made = command(&initdb, root)
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username=monitor", "-D"])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::write(data.join("pg_hba.conf"), ACCESS).expect("written");
        let port =
            TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its number").port();
        let log = fs::File::create(dir.path().join("log")).expect("a log");
        let mut server = command(&programs.join("postgres"), root);
        server.arg("-D").arg(&data).arg("-k").arg(dir.path()).args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
        ]);
        for setting in ["fsync=off", "max_connections=100", "ssl=on", "password_encryption=scram-sha-256"] {
            server.args(["-c", setting]);
        }
        for (setting, file) in [("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")] {
            server.arg("-c").arg(format!("{setting}={}", dir.path().join(file).display()));
        }
        let server = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("a server");
        let cluster = Cluster { server, port, dir, databases: AtomicU32::new(0) };
        cluster.wait_until_it_answers();
        cluster
    }

    fn wait_until_it_answers(&self) {
        let begin = Instant::now();
        while let Err(error) = super::client::PostgresConnection::open(&self.url("postgres", ""), None) {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(begin.elapsed() < START_LIMIT, "{error}: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A database of this cluster, as a URL with these parameters.
    pub fn url(&self, database: &str, parameters: &str) -> PostgresUrl {
        let text = format!("postgres://monitor@127.0.0.1:{}/{database}?{parameters}", self.port);
        PostgresUrl::parse(&text).expect("a URL")
    }

    /// The name of a new database.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let admin =
            super::client::PostgresConnection::open(&self.url("postgres", ""), None).expect("connected");
        admin.batch(&format!("CREATE DATABASE {name}")).expect("a database");
        name
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SIGINT: the server ends its clients' connections and then itself. `setpriv` was replaced by the server.
        let _ = kill_process(Pid::from_child(&self.server), Signal::INT);
        let _ = self.server.wait();
    }
}

/// By password for one user, with TLS only for another; everybody else is trusted.
const ACCESS: &str = "
host all secretive 127.0.0.1/32 scram-sha-256
hostnossl all encrypted 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
local all all trust
";

fn command(program: &Path, root: bool) -> Command {
    match root {
        false => Command::new(program),
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(program).current_dir("/");
            command
        }
    }
}

fn user_id(option: &str) -> Option<u32> {
    let id = Command::new("id").args([option, USER]).output().expect("id runs");
    Some(
        String::from_utf8_lossy(&id.stdout)
            .trim()
            .parse()
            .expect("Debian's package has made the user postgres"),
    )
}

/// An authority, `ca.pem`, and the server's certificate for 127.0.0.1.
fn write_certificates(dir: &Path, root: bool) {
    let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).expect("parameters");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().expect("a key");
    let certificate = authority.self_signed(&authority_key).expect("an authority");
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned()];
    let signed =
        rcgen::CertificateParams::new(names).expect("parameters").signed_by(&key, &issuer).expect("signed");
    fs::write(dir.join("ca.pem"), pem("CERTIFICATE", certificate.der())).expect("written");
    fs::write(dir.join("server.crt"), pem("CERTIFICATE", signed.der())).expect("written");
    let key_file = dir.join("server.key");
    fs::write(&key_file, pem("PRIVATE KEY", key.serialized_der())).expect("written");
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).expect("private");
    if root {
        chown(&key_file, user_id("-u"), user_id("-g")).expect("given to the server's user");
    }
}

pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
