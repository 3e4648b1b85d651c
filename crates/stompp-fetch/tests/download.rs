//! Downloads from a local server that behaves, stalls, cuts off, lies about lengths and serves other bytes.

mod server;

use server::{Answer, Server};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stompp_fetch::{Download, FetchError, Fetched};
use tempfile::TempDir;

/// 300 kB, with varying bytes: several chunks, and more than a socket buffers.
fn content() -> Vec<u8> {
    (0..300_000u32).map(|i| (i.wrapping_mul(i) / 7 % 251) as u8).collect()
}

/// `python3 -c "import hashlib; print(hashlib.md5(bytes(i * i % 2**32 // 7 % 251 for i in range(300000))).hexdigest())"`
const MD5: &str = "12c71513d19b8326a52cfd9839cac223";

struct Case {
    folder: TempDir,
    server: Server,
}

impl Case {
    fn new(answers: Vec<Answer>) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            server: Server::start(content(), answers),
        }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("data.bin")
    }

    fn part(&self) -> PathBuf {
        self.folder.path().join("data.bin.part")
    }

    fn fetch(&self, attempts: u32) -> Result<Fetched, FetchError> {
        let url = self.server.url();
        let download = Download {
            url: &url,
            bytes: content().len() as u64,
            md5: MD5,
            timeout: Duration::from_millis(400),
            attempts,
        };
        download.run(&self.target(), &mut |_| {})
    }

    /// Checks that the target is right and no other file exists.
    fn assert_whole(&self) {
        assert_eq!(fs::read(self.target()).unwrap(), content());
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 1);
    }

    /// Checks that there is no target, and returns how much was received.
    fn assert_absent(&self) -> u64 {
        assert!(!self.target().exists());
        fs::metadata(self.part()).map_or(0, |metadata| metadata.len())
    }
}

#[test]
fn a_good_server_is_asked_once() {
    let case = Case::new(vec![Answer::Good]);
    assert_eq!(case.fetch(1).unwrap(), Fetched::New);
    case.assert_whole();
    assert_eq!(case.fetch(1).unwrap(), Fetched::AlreadyThere);
    assert_eq!(case.server.ranges(), [None]);
}

#[test]
fn progress_rises_to_the_whole() {
    let case = Case::new(vec![Answer::CutAt(100_000), Answer::Good]);
    let url = case.server.url();
    let mut told = Vec::new();
    let download = Download {
        url: &url,
        bytes: 300_000,
        md5: MD5,
        timeout: Duration::from_millis(400),
        attempts: 2,
    };
    download.run(&case.target(), &mut |bytes| told.push(bytes)).unwrap();
    assert!(told.is_sorted() && told.last() == Some(&300_000), "{told:?}");
    assert!(told.contains(&100_000));
}

#[test]
fn what_is_cut_off_goes_on_where_it_was() {
    let case = Case::new(vec![Answer::CutAt(100_000), Answer::CutAt(50_000), Answer::Good]);
    case.fetch(2).unwrap();
    case.assert_whole();
    assert_eq!(case.server.ranges(), [None, Some(100_000), Some(150_000)]);
}

#[test]
fn a_stall_ends_in_time_and_goes_on() {
    let case = Case::new(vec![Answer::StallAt(70_000), Answer::Good]);
    let begun = Instant::now();
    case.fetch(2).unwrap();
    case.assert_whole();
    assert_eq!(case.server.ranges(), [None, Some(70_000)]);
    assert!(begun.elapsed() < Duration::from_secs(20), "a stall must not hang");
}

#[test]
fn what_was_received_is_kept_for_the_next_run() {
    let case = Case::new(vec![Answer::CutAt(100_000), Answer::Status(404), Answer::Good]);
    let message = case.fetch(1).unwrap_err().to_string();
    assert!(
        message.contains("interrupted after 100000 of 300000 bytes"),
        "{message}"
    );
    assert_eq!(case.assert_absent(), 100_000);
    let message = case.fetch(3).unwrap_err().to_string();
    assert!(message.ends_with("the server answered with status 404"), "{message}");
    assert_eq!(case.assert_absent(), 100_000);
    case.fetch(1).unwrap();
    case.assert_whole();
}

#[test]
fn a_server_that_never_goes_on_is_given_up() {
    let case = Case::new(vec![Answer::CutAt(0); 3]);
    assert!(matches!(
        case.fetch(3).unwrap_err(),
        FetchError::Interrupted { received: 0, .. }
    ));
    assert_eq!(case.server.ranges().len(), 3);
}

#[test]
fn errors_of_the_server_are_tried_again() {
    let case = Case::new(vec![Answer::Status(503), Answer::Good]);
    case.fetch(2).unwrap();
    case.assert_whole();
}

#[test]
fn a_server_without_ranges_starts_over() {
    let case = Case::new(vec![Answer::CutAt(100_000), Answer::WholeAlways]);
    case.fetch(2).unwrap();
    case.assert_whole();
}

#[test]
fn a_server_that_sends_another_part_starts_over() {
    let case = Case::new(vec![Answer::CutAt(100_000), Answer::OtherStart(7), Answer::Good]);
    case.fetch(3).unwrap();
    case.assert_whole();
    assert_eq!(case.server.ranges(), [None, Some(100_000), None]);
}

#[test]
fn lies_about_the_length_are_refused() {
    for length in [299_999, 300_001, 3 << 40] {
        let case = Case::new(vec![Answer::Length(length)]);
        let message = case.fetch(1).unwrap_err().to_string();
        let expected = format!("the server says that the file has {length} bytes, expected 300000");
        assert!(message.ends_with(&expected), "{message}");
        assert_eq!(case.assert_absent(), 0);
    }
    let case = Case::new(vec![Answer::Endless]);
    let message = case.fetch(1).unwrap_err().to_string();
    assert!(
        message.ends_with("the server sent more than the 300000 bytes of the file"),
        "{message}"
    );
    assert_eq!(case.assert_absent(), 0);
}

#[test]
fn wrong_bytes_do_not_stay() {
    let case = Case::new(vec![Answer::Wrong, Answer::Good]);
    let message = case.fetch(1).unwrap_err().to_string();
    assert!(
        message.contains("the MD5 is ") && message.contains(MD5) && message.contains("http://"),
        "{message}"
    );
    assert_eq!(case.assert_absent(), 0);
    case.fetch(1).unwrap();
    case.assert_whole();
}

#[test]
fn a_part_that_is_too_long_is_not_trusted() {
    let case = Case::new(vec![Answer::Good]);
    fs::write(case.part(), vec![1; 300_001]).unwrap();
    case.fetch(1).unwrap();
    case.assert_whole();
    assert_eq!(case.server.ranges(), [None]);
}

#[test]
fn another_file_in_the_place_is_left_alone() {
    let case = Case::new(vec![]);
    fs::write(case.target(), b"mine").unwrap();
    let message = case.fetch(1).unwrap_err().to_string();
    assert!(
        message.contains("data.bin is there and has 4 bytes, expected 300000"),
        "{message}"
    );
    assert_eq!(fs::read(case.target()).unwrap(), b"mine");
    fs::write(case.target(), vec![1; 300_000]).unwrap();
    let message = case.fetch(1).unwrap_err().to_string();
    assert!(message.contains("data.bin: the MD5 is "), "{message}");
}

#[test]
fn nobody_there_is_told() {
    let case = Case::new(vec![]);
    let url = case.server.url();
    drop(case.server);
    let download = Download {
        url: &url,
        bytes: 1,
        md5: MD5,
        timeout: Duration::from_secs(30),
        attempts: 5,
    };
    let begun = Instant::now();
    let error = download.run(&case.folder.path().join("a"), &mut |_| {}).unwrap_err();
    assert!(matches!(&error, FetchError::Unreachable { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10), "nobody is waited for");
    assert!(error.to_string().starts_with(&format!("cannot reach {url}: ")));
}
