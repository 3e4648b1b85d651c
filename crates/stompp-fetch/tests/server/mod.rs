//! A server of one file on 127.0.0.1 that answers each request as the test says.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How a request is answered. Ranges are respected unless the variant says otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// The correct answer.
    Good,
    /// Closes the connection after this many bytes.
    CutAt(usize),
    /// Sends nothing more after this many bytes, but keeps the connection open.
    StallAt(usize),
    /// An error.
    Status(u16),
    /// The whole file, whatever range was requested.
    WholeAlways,
    /// A range that begins at another byte than requested.
    OtherStart(usize),
    /// A header with this number of bytes.
    Length(u64),
    /// More bytes than the file has, without a length in the header.
    Endless,
    /// As many bytes as the file has, but others.
    Wrong,
}

pub(crate) struct Server {
    port: u16,
    ranges: Arc<Mutex<Vec<Option<usize>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `content` with one answer per request, then stops.
    pub(crate) fn start(content: Vec<u8>, answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&ranges);
        let thread = std::thread::spawn(move || {
            let mut stalled = Vec::new();
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let range = read_range(&stream);
                if range == Some(usize::MAX) {
                    return; // A goodbye, not a request.
                }
                seen.lock().unwrap().push(range);
                // A client may close the connection early; that is not an error of the server.
                let _ = respond(&mut stream, &content, answer, range);
                if let Answer::StallAt(_) = answer {
                    stalled.push(stream);
                }
            }
        });
        Self {
            port,
            ranges,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/data.bin", self.port)
    }

    /// The first byte that each request so far asked for.
    pub(crate) fn ranges(&self) -> Vec<Option<usize>> {
        self.ranges.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Wakes a server that still waits for requests.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.write_all(b"\r\n");
        }
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The start of the range that the request asks for; `usize::MAX` if it is not a request.
fn read_range(stream: &TcpStream) -> Option<usize> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    if !lines.next().is_some_and(|line| line.starts_with("GET ")) {
        return Some(usize::MAX);
    }
    let mut range = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(value) = line.to_lowercase().strip_prefix("range: bytes=") {
            range = value.trim_end_matches('-').parse().ok();
        }
    }
    range
}

fn respond(stream: &mut TcpStream, content: &[u8], answer: Answer, range: Option<usize>) -> std::io::Result<()> {
    let start = match answer {
        Answer::WholeAlways => 0,
        Answer::OtherStart(start) => start,
        _ => range.unwrap_or(0),
    };
    let rest = &content[start..];
    let whole = content.len();
    let length = match answer {
        Answer::Length(length) => format!("Content-Length: {length}\r\n"),
        Answer::Endless => String::new(),
        _ => format!("Content-Length: {}\r\n", rest.len()),
    };
    let (status, part) = match answer {
        Answer::Status(status) => (status, String::new()),
        _ if start > 0 => (206, format!("Content-Range: bytes {start}-{}/{whole}\r\n", whole - 1)),
        _ => (200, String::new()),
    };
    write!(
        stream,
        "HTTP/1.1 {status} As told\r\n{length}{part}Connection: close\r\n\r\n"
    )?;
    match answer {
        Answer::CutAt(bytes) | Answer::StallAt(bytes) => stream.write_all(&rest[..bytes]),
        Answer::Endless => [rest, rest].iter().try_for_each(|bytes| stream.write_all(bytes)),
        Answer::Wrong => stream.write_all(&rest.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()),
        _ => stream.write_all(rest),
    }
}
