//! Bodies that are read from a file: complete, continued, slow, and from a disk that fails.

use crate::site::{Client, LONG, Site, answer, body, eventually, get, roomy, status};
use crate::tls::Secure;
use crossbeam_channel::{Receiver, Sender, unbounded};
use heartbeat_daemon::http::file_body::{OpenedFile, PieceReader, PieceRequest};
use heartbeat_daemon::http::file_response::file_response;
use heartbeat_daemon::http::{Exchange, Limits};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime};

/// Several pieces, and an odd end.
const SIZE: usize = 5 * 64 * 1024 + 17;

/// A file that handlers send for `/file`; other paths are [`answer`]'s.
struct Shelf {
    scratch: tempfile::TempDir,
    reader: PieceReader,
    pieces: Receiver<PieceRequest>,
}

impl Shelf {
    fn new(content: &[u8]) -> Shelf {
        let scratch = tempfile::tempdir().expect("a directory");
        std::fs::write(scratch.path().join("file"), content).expect("written");
        let (reader, pieces) = PieceReader::new();
        Shelf { scratch, reader, pieces }
    }

    fn file(&self) -> File {
        File::options().read(true).write(true).open(self.scratch.path().join("file")).expect("a file")
    }

    fn handler(&self) -> impl FnMut(Exchange) + Send + 'static {
        let (path, reader) = (self.scratch.path().join("file"), self.reader.clone());
        move |exchange| {
            if exchange.request.path() != "/file" {
                return answer(exchange);
            }
            let file = OpenedFile::new(File::open(&path).expect("a file"), path.clone()).expect("regular");
            let response = file_response(&exchange.request, file, "text/plain", &reader, SystemTime::now());
            exchange.reply.send(response);
        }
    }

    /// Reads pieces on a thread of its own until the shelf is dropped.
    fn read(&self) {
        let pieces = self.pieces.clone();
        std::thread::spawn(move || pieces.into_iter().for_each(PieceRequest::read));
    }

    /// Reads one piece for each message.
    fn read_on_demand(&self) -> Sender<()> {
        let (demand, demanded) = unbounded();
        let pieces = self.pieces.clone();
        std::thread::spawn(move || {
            for () in demanded {
                let Ok(piece) = pieces.recv() else { return };
                piece.read();
            }
        });
        demand
    }
}

fn content() -> String {
    (0..SIZE).map(|at| char::from(b'a' + (at / 7 % 26) as u8)).collect()
}

fn request(headers: &str) -> String {
    format!("GET /file HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn a_file_arrives_complete_and_the_connection_is_kept() {
    let shelf = Shelf::new(content().as_bytes());
    shelf.read();
    let site = Site::with(roomy(), shelf.handler());
    let mut client = site.client();
    // As package managers do, the next requests are sent before the first is answered.
    client.send(get("/file") + &get("/hello") + &get("/file"));
    let first = client.answer();
    assert_eq!(status(&first), 200);
    assert!(body(&first) == content(), "another body");
    assert_eq!(header(&first, "Accept-Ranges"), Some("bytes"));
    assert!(client.answer().ends_with("hello"));
    assert!(body(&client.answer()) == content(), "another body");
    client.send("GET /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(client.rest().ends_with(&content()));
    eventually("nothing is being sent", || shelf.reader.downloads() == 1);
}

#[test]
fn a_file_arrives_over_tls() {
    let shelf = Shelf::new(content().as_bytes());
    shelf.read();
    let secure = Secure::with(roomy(), shelf.handler());
    let mut client = secure.client();
    for _ in 0..2 {
        client.send(get("/file") + &get("/hello"));
        assert!(body(&client.answer()) == content(), "another body");
        assert!(client.answer().ends_with("hello"));
    }
}

#[test]
fn a_head_a_part_and_an_unchanged_file_have_the_lengths_they_say() {
    let shelf = Shelf::new(content().as_bytes());
    shelf.read();
    let site = Site::with(roomy(), shelf.handler());
    let mut client = site.client();
    client.send("HEAD /file HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.head();
    assert_eq!((status(&head), header(&head, "Content-Length")), (200, Some(SIZE.to_string().as_str())));
    let modified = header(&head, "Last-Modified").expect("a date").to_owned();

    client.send(request("Range: bytes=65530-65545\r\n"));
    let part = client.answer();
    let range = format!("bytes 65530-65545/{SIZE}");
    assert_eq!((status(&part), header(&part, "Content-Range")), (206, Some(range.as_str())));
    assert_eq!(body(&part), &content()[65_530..65_546]);

    client.send(request("Range: bytes=327690-\r\n"));
    assert_eq!(body(&client.answer()), &content()[327_690..]);

    client.send(request(&format!("Range: bytes={SIZE}-\r\n")));
    let refused = client.answer();
    assert_eq!(
        (status(&refused), header(&refused, "Content-Range")),
        (416, Some(&*format!("bytes */{SIZE}")))
    );

    client.send(request(&format!("If-Modified-Since: {modified}\r\n")));
    let unchanged = client.head();
    assert_eq!((status(&unchanged), header(&unchanged, "Content-Length")), (304, None));
    // The same connection: a wrong length would have shifted this answer.
    client.send(get("/hello"));
    assert!(client.answer().ends_with("hello"));
}

#[test]
fn a_slow_client_that_reads_on_is_served_and_one_that_stops_is_cut() {
    let shelf = Shelf::new(&vec![b'x'; 40_000_000]);
    shelf.read();
    let limits = Limits { write: Duration::from_millis(300), progress: Duration::from_secs(3), ..roomy() };
    let site = Site::with(limits, shelf.handler());
    let (mut deaf, mut slow) = (site.client(), site.client());
    deaf.send(get("/file"));
    slow.send(request("Connection: close\r\n"));
    // 64 KiB at a time, for longer than its deadline.
    let mut received = 0;
    let mut buffer = vec![0; 64 * 1024];
    while site.counters.slow_readers.get() == 0 {
        received += slow.stream.read(&mut buffer).expect("it is served");
        std::thread::sleep(Duration::from_millis(50));
    }
    received += slow.rest().len();
    assert!(received > 40_000_000, "cut off after {received} bytes");
    assert_eq!(site.counters.slow_readers.get(), 1);
}

#[test]
fn a_client_that_reads_nothing_holds_one_piece() {
    let shelf = Shelf::new(&vec![b'x'; 40_000_000]);
    let site = Site::with(roomy(), shelf.handler());
    let mut deaf = site.client();
    deaf.send(get("/file"));
    let mut pieces = 0;
    while let Ok(piece) = shelf.pieces.recv_timeout(Duration::from_secs(2)) {
        piece.read();
        pieces += 1;
    }
    // The rest is in the client's own buffer; without a bound the server's side would hold 4 MiB more.
    assert!((2..400).contains(&pieces), "{pieces}");
    assert_eq!(status(&site.send(&get("/hello"))), 200);
}

#[test]
fn a_hanging_disk_delays_its_downloads_only() {
    let shelf = Shelf::new(content().as_bytes());
    let demand = shelf.read_on_demand();
    let site = Site::with(Limits { progress: Duration::from_millis(500), ..roomy() }, shelf.handler());
    let mut client = site.client();
    client.send(get("/file"));
    demand.send(()).expect("read");
    let mut first = [0; 1];
    client.stream.read_exact(&mut first).expect("the first piece has arrived");
    for _ in 0..50 {
        assert_eq!(status(&site.send(&get("/hello"))), 200);
    }
    eventually("the download is given up", || site.counters.late_answers.get() == 1);
    assert_eq!(site.counters.slow_readers.get(), 0, "the client was not late");
    assert!(client.ends_within(LONG));
    // The piece comes after all, for a connection that is gone.
    demand.send(()).expect("read");
    assert_eq!(status(&site.send(&get("/hello"))), 200);
}

#[test]
fn a_file_that_changes_meanwhile_ends_the_connection_before_its_length() {
    let changes: [fn(&File); 3] = [
        |file| file.set_len(70_000).expect("shorter"),
        |file| file.set_len(10_000_000).expect("longer"),
        |file| {
            file.write_all_at(b"other", 100_000).expect("written");
            // Within one tick of the kernel's clock both versions could have the same time.
            file.set_modified(SystemTime::now() - Duration::from_secs(9)).expect("a time");
        },
    ];
    for change in changes {
        let shelf = Shelf::new(content().as_bytes());
        let demand = shelf.read_on_demand();
        let site = Site::with(roomy(), shelf.handler());
        let mut client = site.client();
        client.send(get("/file"));
        demand.send(()).expect("read");
        let mut first = [0; 1];
        client.stream.read_exact(&mut first).expect("the first piece has arrived");
        change(&shelf.file());
        demand.send(()).expect("read");
        let rest = client.rest();
        assert!(rest.len() < SIZE, "{} bytes look complete", rest.len());
    }
}

#[test]
fn a_client_that_leaves_ends_its_download() {
    let shelf = Shelf::new(&vec![b'x'; 40_000_000]);
    shelf.read();
    let site = Site::with(roomy(), shelf.handler());
    let mut client: Client = site.client();
    client.send(get("/file"));
    let mut first = [0; 1];
    client.stream.read_exact(&mut first).expect("it has begun");
    assert_eq!(shelf.reader.downloads(), 2);
    drop(client);
    eventually("the download has ended", || shelf.reader.downloads() == 1);
}
