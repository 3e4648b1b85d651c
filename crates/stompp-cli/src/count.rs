//! Shows the progress of a count: a live bar on a terminal, otherwise a line every few seconds.

use std::time::{Duration, Instant};
use stompp_console::progress::{Bar, Progress};

/// Time between lines without a terminal.
const BETWEEN: Duration = Duration::from_secs(10);

/// A count on standard error.
pub(crate) struct CountBar {
    display: Progress,
    bar: Bar,
    whole: Option<u64>,
    what: &'static str,
    last: Instant,
}

impl CountBar {
    /// Counts images; the total is unknown.
    pub(crate) fn images() -> Self {
        Self::new("images", None, "{spinner} {human_pos} images  {per_sec}")
    }

    /// Counts up to `whole` bytes.
    pub(crate) fn bytes(whole: u64) -> Self {
        let template = "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  ETA {eta}";
        Self::new("bytes", Some(whole), template)
    }

    fn new(what: &'static str, whole: Option<u64>, template: &str) -> Self {
        let display = Progress::stderr();
        let bar = display.bar(template);
        whole.iter().for_each(|whole| bar.set_length(*whole));
        Self {
            display,
            bar,
            whole,
            what,
            last: Instant::now(),
        }
    }

    /// Sets the count to `done`.
    pub(crate) fn set(&mut self, done: u64) {
        self.bar.set_position(done);
        if !self.display.has_bars() && self.last.elapsed() >= BETWEEN {
            self.last = Instant::now();
            let of = self.whole.map_or(String::new(), |whole| format!(" of {whole}"));
            self.display.line(&format!("{done}{of} {}", self.what));
        }
    }
}

impl Drop for CountBar {
    fn drop(&mut self) {
        self.bar.clear();
    }
}
