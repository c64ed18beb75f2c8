//! Other people's programs: curl as a client, nginx as a proxy in front.

use crate::site::{Site, body, get, status};
use crate::skip::skip;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What curl prints, or `None` where there is none.
fn curl(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("curl").args(["--silent", "--show-error", "--max-time", "30"]).args(arguments).output();
    match output {
        Ok(output) => {
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).expect("text"))
        }
        Err(error) => {
            skip(&format!("curl: {error}"));
            None
        }
    }
}

#[test]
fn curl_is_served() {
    let site = Site::new();
    let url = |path: &str| format!("http://{}{path}", site.address);
    let Some(hello) = curl(&[&url("/hello")]) else { return };
    assert_eq!(hello, "hello");
    let curl = |arguments: &[&str]| curl(arguments).expect("it was there just now");
    assert!(curl(&["--head", &url("/hello")]).contains("Content-Length: 5\r\n"));
    assert_eq!(curl(&["--http1.0", &url("/hello")]), "hello");
    assert_eq!(
        curl(&["-X", "POST", "--write-out", "%{http_code}", &url("/echo")]),
        "200",
        "without any length"
    );
    assert_eq!(curl(&["--data", "beat", &url("/echo")]), "beat");
    // More than 1 MiB makes curl expect 100; 60,000 bytes may, so it is asked to.
    let large = "x".repeat(60_000);
    assert_eq!(curl(&["--data", &large, "--header", "Expect: 100-continue", &url("/echo")]), large);
    assert_eq!(
        curl(&[
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code} ",
            &url("/large?3000000"),
            &url("/none")
        ])
        .split(' ')
        .next(),
        Some("200")
    );
    let reused = curl(&["--write-out", "%{num_connects} ", &url("/hello"), &url("/hello"), &url("/hello")]);
    assert_eq!(reused, "hello1 hello0 hello0 ");
    let too_large = "x".repeat(70_000);
    let code = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    assert_eq!(curl(&[&code[..], &["--data", &too_large, &url("/echo")]].concat()), "413");
    let chunked = ["--header", "Transfer-Encoding: chunked", "--data", "in chunks", &url("/echo")];
    assert_eq!(curl(&chunked), "in chunks");
    assert_eq!(curl(&[&code[..], &["-X", "BREW", &url("/hello")]].concat()), "405");
    assert_eq!(
        curl(&[&code[..], &["--header", &format!("X: {}", "x".repeat(9_000)), &url("/hello")]].concat()),
        "431"
    );
}

/// nginx on a socket file, as a proxy that keeps its connections to the site.
struct Nginx {
    process: Child,
    directory: TempDir,
}

impl Nginx {
    fn in_front_of(site: &Site) -> Option<Nginx> {
        let directory = tempfile::tempdir().expect("a directory");
        let configuration = directory.path().join("nginx.conf");
        std::fs::write(&configuration, configuration_for(site)).expect("written");
        let process = Command::new("nginx")
            .args(["-p", directory.path().to_str().expect("text"), "-c", "nginx.conf", "-e", "stderr"])
            .current_dir(&directory)
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .stderr(Stdio::null())
            .spawn();
        match process {
            Ok(process) => Some(Nginx { process, directory }),
            Err(error) => {
                skip(&format!("nginx: {error}"));
                None
            }
        }
    }

    fn connect(&self) -> UnixStream {
        let path = self.directory.path().join("front.sock");
        let end = Instant::now() + crate::site::LONG;
        loop {
            match UnixStream::connect(&path) {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < end, "nginx does not listen: {error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn send(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its one process is this child: there is no master.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration_for(site: &Site) -> String {
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit;
        events {{ worker_connections 256; }}
        http {{
            access_log off; client_body_temp_path body; proxy_temp_path proxy;
            fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
            upstream site {{ server {}; keepalive 4; }}
            server {{
                listen unix:front.sock;
                client_max_body_size 10m;
                location / {{
                    proxy_pass http://site; proxy_http_version 1.1; proxy_set_header Connection \"\";
                    proxy_set_header Host $host;
                }}
            }}
        }}",
        site.address
    )
}

#[test]
fn nginx_in_front_passes_everything_on_over_kept_connections() {
    let site = Site::new();
    let Some(nginx) = Nginx::in_front_of(&site) else { return };
    let closing = |request: &str| request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    for _ in 0..50 {
        assert_eq!(body(&nginx.send(&closing(&get("/hello")))), "hello");
    }
    assert!(
        site.counters.accepted.get() < 10,
        "{} connections for 50 requests",
        site.counters.accepted.get()
    );
    let head = nginx.send(&closing("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(
        status(&head) == 200 && body(&head).is_empty() && head.contains("Content-Length: 5\r\n"),
        "{head}"
    );
    let chunked =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbeat\r\n0\r\n\r\n";
    assert_eq!(body(&nginx.send(&closing(chunked))), "beat", "the proxy knows the length by then");
    let large =
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n{}", "x".repeat(70_000));
    assert_eq!(status(&nginx.send(&closing(&large))), 413, "the refusal comes through, not a 502");
    let answer = nginx.send(&closing(&get("/large?2000000")));
    assert_eq!(body(&answer).len(), 2_000_000);
    assert_eq!(status(&nginx.send(&closing(&get("/never")))), 500);
    assert_eq!(status(&nginx.send(&closing(&get("/nothing")))), 404);
    assert_eq!(body(&nginx.send(&closing(&get("/later?50")))), "later");
}

#[test]
fn data_smuggled_past_nginx_is_not_parsed_as_a_request() {
    let site = Site::new();
    let Some(nginx) = Nginx::in_front_of(&site) else { return };
    nginx.connect();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let heads = [
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: +4\r\n",
        "X: a\r\n Content-Length: 40\r\nContent-Length: 4\r\n",
    ];
    for lines in heads {
        let request =
            format!("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\nbeat{smuggled}");
        let answers = nginx.send(&request);
        assert!(answers.matches("HTTP/1.1 ").count() <= 1, "{lines}: {answers}");
        assert!(!answers.contains("smuggled"), "{lines}: {answers}");
    }
}
