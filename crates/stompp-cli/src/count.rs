//! Shows the progress of a count: a live bar on a terminal, otherwise a line every few seconds.

use std::time::{Duration, Instant};
use stompp_console::progress::{Bar, HumanDuration, Progress};

/// Time between lines without a terminal.
const BETWEEN: Duration = Duration::from_secs(10);

/// A count on standard error.
pub(crate) struct CountBar {
    display: Progress,
    bar: Bar,
    start: Instant,
    what: &'static str,
    last: Instant,
}

impl CountBar {
    /// Counts images.
    pub(crate) fn images() -> Self {
        Self::new(
            "images",
            "{bar:30} {human_pos}/{human_len} images  {per_sec}  ETA {eta}",
        )
    }

    /// Counts bytes.
    pub(crate) fn bytes() -> Self {
        Self::new("bytes", "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  ETA {eta}")
    }

    fn new(what: &'static str, template: &str) -> Self {
        let display = Progress::stderr();
        let bar = display.bar(template);
        Self {
            display,
            bar,
            what,
            start: Instant::now(),
            last: Instant::now(),
        }
    }

    /// Sets the count to `done` of `whole`.
    pub(crate) fn set(&mut self, done: u64, whole: u64) {
        self.bar.set_length(whole);
        self.bar.set_position(done);
        if !self.display.has_bars() && self.last.elapsed() >= BETWEEN {
            self.last = Instant::now();
            self.display.line(&line(done, whole, self.what, self.start.elapsed()));
        }
    }
}

/// The line about `done` of `whole` after some time, with the time that the rest will take at the same speed.
fn line(done: u64, whole: u64, what: &str, elapsed: Duration) -> String {
    let mut line = format!("{done} of {whole} {what}");
    if done > 0 {
        let left = elapsed.mul_f64(whole.saturating_sub(done) as f64 / done as f64);
        line += &format!(", ETA {}", HumanDuration(left));
    }
    line
}

impl Drop for CountBar {
    fn drop(&mut self) {
        self.bar.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_total_and_the_time_left() {
        let after = |done, seconds| line(done, 1200, "images", Duration::from_secs(seconds));
        assert_eq!(after(0, 10), "0 of 1200 images");
        assert_eq!(after(300, 10), "300 of 1200 images, ETA 30 seconds");
        assert_eq!(after(300, 100), "300 of 1200 images, ETA 5 minutes");
        assert_eq!(after(1, 10), "1 of 1200 images, ETA 3 hours");
        assert_eq!(after(1200, 10), "1200 of 1200 images, ETA 0 seconds");
    }
}
