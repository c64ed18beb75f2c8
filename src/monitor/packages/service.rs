//! The thread `packages`: answers requests for `/apt/` and reads the pieces of the files that are being sent.

use super::index::OpenError;
use super::install::wrong_method;
use super::offer::{Offer, PREFIX};
use crate::http::file_body::{PieceReader, PieceRequest};
use crate::http::file_response::file_response;
use crate::http::queue::busy;
use crate::http::{Exchange, Method, Request, Response, queue};
use crate::latest::Latest;
use crate::monitor::log_limit::LogLimit;
use crate::startup::spawn;
use crossbeam_channel::{Receiver, select};
use percent_encoding::percent_decode_str;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Files that are sent at the same time; more are answered 503.
const MOST_DOWNLOADS: usize = 32;
/// Requests that wait for the thread; more are answered 503. Opening a file takes 50 us.
const DEPTH: usize = 64;
/// Per file, one fault is logged in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(3600);

struct Packages {
    offered: Arc<Latest<Offer>>,
    reader: PieceReader,
    log_limit: LogLimit<String>,
}

/// Starts the thread, which ends with the HTTP server. The handler answers `/install` itself, and passes requests for other
/// paths to `others`.
///
/// # Errors
/// The thread cannot be started.
pub fn start(
    offered: Arc<Latest<Offer>>,
    mut others: impl FnMut(Exchange) + Send + 'static,
) -> Result<impl FnMut(Exchange) + Send + 'static, String> {
    let (mut files, requests) = queue(DEPTH);
    let (reader, pieces) = PieceReader::new();
    let scripts = offered.clone();
    let packages = Packages { offered, reader, log_limit: LogLimit::new(LOG_INTERVAL) };
    drop(spawn("packages", move || packages.run(&requests, &pieces))?);
    Ok(move |exchange: Exchange| {
        if exchange.request.path().starts_with(PREFIX) {
            files(exchange);
        } else if let Some(response) = scripts.get().script.respond(&exchange.request) {
            exchange.reply.send(response);
        } else {
            others(exchange);
        }
    })
}

impl Packages {
    fn run(mut self, requests: &Receiver<Exchange>, pieces: &Receiver<PieceRequest>) {
        loop {
            select! {
                recv(requests) -> exchange => match exchange {
                    Ok(Exchange { request, reply }) => reply.send(self.respond(&request)),
                    // The HTTP server has ended, and all downloads with it.
                    Err(_) => return,
                },
                recv(pieces) -> piece => if let Ok(piece) = piece { piece.read() },
            }
        }
    }

    fn respond(&mut self, request: &Request) -> Response {
        if request.method() != Method::Get {
            return wrong_method();
        }
        let encoded = request.path().strip_prefix(PREFIX).unwrap_or_default();
        // A name that is not UTF-8 is in no list.
        let path = percent_decode_str(encoded).decode_utf8_lossy();
        let offered = self.offered.get();
        let Some(index) = &offered.index else {
            return Response::error(404, "this monitor offers no packages ([packages] directory)");
        };
        match index.open(&path) {
            Ok(file) => {
                let response =
                    file_response(request, file, content_type(&path), &self.reader, SystemTime::now());
                // The response counts itself. One without a body needs no place.
                let is_full =
                    response.has_file() && !request.is_head() && self.reader.downloads() > MOST_DOWNLOADS;
                if is_full { busy() } else { response.header("X-Content-Type-Options", "nosniff") }
            }
            Err(OpenError::NotListed) => Response::error(404, "no such file in the list of packages"),
            Err(OpenError::Changed(problem)) => self.changed(&path, &problem),
        }
    }

    fn changed(&mut self, path: &str, problem: &str) -> Response {
        if self.log_limit.is_due(path.to_owned(), Instant::now()) {
            log::error!("/apt/{problem}; it is not served until the next reload");
        }
        Response::error(503, &format!("{problem}; reload heartbeat-monitor"))
            .header("Cache-Control", "no-store")
    }
}

fn content_type(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.').map(|(_, suffix)| suffix) {
        Some("deb") => "application/vnd.debian.binary-package",
        Some("gz") => "application/gzip",
        Some("xz") => "application/x-xz",
        Some("asc") => "application/pgp-keys",
        Some("gpg") => "application/pgp-signature",
        Some("sources" | "txt" | "md") => "text/plain; charset=utf-8",
        Some("json") => "application/json",
        // Packages, Release, InRelease, SHA256SUMS, fingerprint
        None => "text/plain; charset=utf-8",
        Some(_) => "application/octet-stream",
    }
}
