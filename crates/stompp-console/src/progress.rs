//! Progress on standard error: bars on a terminal, plain lines in a log, or nothing.
//!
//! ```
//! use stompp_console::progress::Progress;
//!
//! let progress = Progress::stderr();
//! let bar = progress.bar("{bar:10} {pos}/{len}  {wide_msg}");
//! bar.set_length(3);
//! for step in 1..=3 {
//!     bar.set_position(step);
//!     bar.set_message(|| format!("loss {:.1}", 1.0 / step as f64)); // Called only if there is a bar.
//! }
//! bar.clear();
//! progress.line("3 steps done"); // Stays, above the bars or in the log.
//! ```

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

pub use indicatif::HumanDuration;

/// Lines and bars on standard error. It can be shared among threads.
#[derive(Debug)]
pub struct Progress(Display);

#[derive(Debug)]
enum Display {
    Bars(MultiProgress),
    Lines,
    Nothing,
}

impl Progress {
    /// Bars if standard error is a terminal that can show them, otherwise lines.
    pub fn stderr() -> Self {
        let target = ProgressDrawTarget::stderr();
        Self(if target.is_hidden() {
            Display::Lines
        } else {
            Display::Bars(MultiProgress::with_draw_target(target))
        })
    }

    /// Progress that shows nothing.
    pub fn hidden() -> Self {
        Self(Display::Nothing)
    }

    /// Whether bars are shown.
    pub fn has_bars(&self) -> bool {
        matches!(self.0, Display::Bars(_))
    }

    /// Writes a line that stays, above the bars.
    pub fn line(&self, text: &str) {
        match &self.0 {
            // The terminal may be closed; that is no reason to stop.
            Display::Bars(all) => drop(all.println(text)),
            Display::Lines => crate::errln!("{text}"),
            Display::Nothing => {}
        }
    }

    /// Adds a bar below the others. `template` is its format ([`indicatif::style`]). If bars are not shown, the bar does nothing.
    ///
    /// # Panics
    /// If bars are shown and `template` is not valid.
    pub fn bar(&self, template: &str) -> Bar {
        self.add(template, |all, bar| all.add(bar))
    }

    /// Adds a bar above `other`; see [`Progress::bar`].
    ///
    /// # Panics
    /// If bars are shown and `template` is not valid.
    pub fn bar_above(&self, other: &Bar, template: &str) -> Bar {
        self.add(template, |all, bar| match &other.0 {
            Some(other) => all.insert_before(other, bar),
            None => all.add(bar),
        })
    }

    fn add(&self, template: &str, add: impl FnOnce(&MultiProgress, ProgressBar) -> ProgressBar) -> Bar {
        let Display::Bars(all) = &self.0 else {
            return Bar(None);
        };
        let style = ProgressStyle::with_template(template).expect("the template is valid");
        Bar(Some(add(all, ProgressBar::no_length().with_style(style))))
    }

    /// Removes all bars.
    pub fn clear(&self) {
        if let Display::Bars(all) = &self.0 {
            drop(all.clear()); // As in `line`.
        }
    }
}

/// One bar. All methods do nothing if bars are not shown.
#[derive(Debug)]
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// Sets the position at which the bar is full.
    pub fn set_length(&self, length: u64) {
        self.0.iter().for_each(|bar| bar.set_length(length));
    }

    /// Sets the current position.
    pub fn set_position(&self, position: u64) {
        self.0.iter().for_each(|bar| bar.set_position(position));
    }

    /// Sets the `{prefix}`.
    pub fn set_prefix(&self, prefix: &str) {
        self.0.iter().for_each(|bar| bar.set_prefix(prefix.to_owned()));
    }

    /// Sets the `{msg}`. `message` is called only if bars are shown.
    pub fn set_message(&self, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.0 {
            bar.set_message(message());
        }
    }

    /// Redraws the bar in this interval, so that the elapsed time is up to date.
    pub fn tick_every(&self, interval: Duration) {
        self.0.iter().for_each(|bar| bar.enable_steady_tick(interval));
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.0.iter().for_each(ProgressBar::finish_and_clear);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_shown_only_where_there_is_a_terminal() {
        let hidden = Progress::hidden();
        let bar = hidden.bar("{msg}");
        bar.set_length(2);
        bar.set_position(1);
        bar.set_message(|| unreachable!("nobody sees it"));
        hidden.bar_above(&bar, "{msg}").clear();
        hidden.line("nobody sees it");
        assert!(!hidden.has_bars());
    }

    #[test]
    fn lines_stay_while_bars_come_and_go() {
        // A hidden draw target replaces the terminal: the calls are the same.
        let progress = Progress(Display::Bars(MultiProgress::with_draw_target(
            ProgressDrawTarget::hidden(),
        )));
        let overall = progress.bar("{prefix} {bar:20} {msg}");
        overall.set_prefix("all");
        let bar = progress.bar_above(&overall, "{pos}/{len}");
        bar.set_length(2);
        bar.set_position(1);
        let mut seen = false;
        bar.set_message(|| {
            seen = true;
            "half".to_owned()
        });
        progress.line("half");
        bar.clear();
        progress.clear();
        assert!(seen && progress.has_bars());
    }
}
