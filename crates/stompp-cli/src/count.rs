//! How far something has come: a live bar on a terminal, a line now and then elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// Time between lines where there is no terminal.
const BETWEEN: Duration = Duration::from_secs(10);

/// Counts on standard error.
pub(crate) struct CountBar {
    /// Hidden where standard error is no terminal.
    bar: ProgressBar,
    what: &'static str,
    last: Instant,
}

impl CountBar {
    /// Counts images; how many there will be is not known.
    pub(crate) fn images() -> Self {
        Self::new("images", None, "{spinner} {human_pos} images  {per_sec}")
    }

    /// Counts up to `whole` bytes.
    pub(crate) fn bytes(whole: u64) -> Self {
        let template = "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  ETA {eta}";
        Self::new("bytes", Some(whole), template)
    }

    fn new(what: &'static str, whole: Option<u64>, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(whole, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template(template).expect("the template is sound"));
        Self {
            bar,
            what,
            last: Instant::now(),
        }
    }

    /// So many are done.
    pub(crate) fn set(&mut self, done: u64) {
        self.bar.set_position(done);
        if self.bar.is_hidden() && self.last.elapsed() >= BETWEEN {
            self.last = Instant::now();
            let of = self.bar.length().map_or(String::new(), |whole| format!(" of {whole}"));
            stompp_console::errln!("{done}{of} {}", self.what);
        }
    }
}

impl Drop for CountBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
