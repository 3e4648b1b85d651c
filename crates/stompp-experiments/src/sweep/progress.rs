//! The progress of a sweep: on a terminal a bar for each run and one for all, in a log lines, and nothing if `quiet` is set.

use crate::duration::duration;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stompp_console::progress::{Bar, Progress};
use stompp_train::callback::{RunStart, StepReport};
use stompp_train::{Callback, Evaluation, TrainError};

/// Length of the bar for all runs. Its position is the share of the cost that is done.
const OVERALL_LENGTH: u64 = 1000;

/// Progress of a sweep.
#[derive(Debug)]
pub(super) struct SweepProgress {
    display: Progress,
    overall: Bar,
    /// Columns of the longest name.
    name_width: usize,
    begun: Instant,
    totals: Mutex<Totals>,
}

#[derive(Debug)]
struct Totals {
    /// Number of runs that have ended.
    ended: usize,
    /// Number of all runs.
    runs: usize,
    /// Cost of the work that is done.
    done: f64,
    /// Cost of all runs.
    cost: f64,
}

impl SweepProgress {
    /// Creates the display for `runs` runs. `cost` is the cost of all together, and `name_width` the length of the longest name.
    pub(super) fn new(runs: usize, name_width: usize, cost: f64, quiet: bool) -> Self {
        let display = if quiet { Progress::hidden() } else { Progress::stderr() };
        let overall = display.bar(&template(name_width, "{msg}"));
        overall.set_length(OVERALL_LENGTH);
        overall.set_prefix("all runs");
        overall.tick_every(Duration::from_secs(1));
        Self {
            display,
            overall,
            name_width,
            begun: Instant::now(),
            totals: Mutex::new(Totals {
                ended: 0,
                runs,
                done: 0.0,
                cost,
            }),
        }
    }

    /// Writes a line above the bars. In a log it begins with the time since the sweep began.
    fn line(&self, text: &str) {
        if self.display.has_bars() {
            self.display.line(text);
        } else {
            let elapsed = duration(self.begun.elapsed().as_secs_f64());
            self.display.line(&format!("[{elapsed}] {text}"));
        }
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, cost: f64, ended: usize) {
        let mut totals = self.totals();
        totals.done += cost;
        totals.ended += ended;
        let share = totals.done / totals.cost;
        self.overall.set_position((OVERALL_LENGTH as f64 * share) as u64);
        self.overall.set_message(|| totals.text(self.begun.elapsed()));
    }

    /// Begins a run of this cost.
    pub(super) fn begin(&self, name: &str, cost: f64) -> RunProgress<'_> {
        let template = template(self.name_width, "{pos}/{len} steps  {msg}");
        let bar = self.display.bar_above(&self.overall, &template);
        bar.set_length(0);
        bar.set_prefix(name);
        if !self.display.has_bars() {
            self.line(&format!("{name}: begins"));
        }
        RunProgress {
            sweep: self,
            name: name.to_owned(),
            bar,
            begun: Instant::now(),
            cost,
            reported: 0.0,
            steps: 1,
            epochs: 0.0,
        }
    }

    /// Removes the bars.
    pub(super) fn finish(&self) {
        self.display.clear();
    }
}

impl Totals {
    fn text(&self, elapsed: Duration) -> String {
        let left = match self.done / self.cost {
            share if share > 0.01 => {
                let left = elapsed.as_secs_f64() * (1.0 - share) / share;
                format!("about {} left", duration(left))
            }
            _ => "time left not known yet".to_owned(),
        };
        format!("{} of {} runs done, {left}", self.ended, self.runs)
    }
}

fn template(name_width: usize, end: &str) -> String {
    format!("{{prefix:{name_width}}} {{bar:20}} {end}")
}

/// Progress of one run.
#[derive(Debug)]
pub(super) struct RunProgress<'a> {
    sweep: &'a SweepProgress,
    name: String,
    bar: Bar,
    begun: Instant,
    cost: f64,
    /// The part of the cost that is already in the totals of the sweep.
    reported: f64,
    steps: u64,
    epochs: f64,
}

impl RunProgress<'_> {
    fn advance_to(&mut self, share: f64, ended: usize) {
        let reached = self.cost * share;
        self.sweep.advance(reached - self.reported, ended);
        self.reported = reached;
    }

    /// Ends the run; `outcome` says how.
    pub(super) fn end(mut self, outcome: &str) {
        self.advance_to(1.0, 1);
        self.bar.clear();
        let took = duration(self.begun.elapsed().as_secs_f64());
        let overall = self.sweep.totals().text(self.sweep.begun.elapsed());
        self.sweep
            .line(&format!("{}: {outcome} after {took}; {overall}", self.name));
    }
}

impl Callback for RunProgress<'_> {
    fn on_start(&mut self, start: &RunStart) -> Result<(), TrainError> {
        self.steps = start.steps;
        self.epochs = start.steps as f64 / start.steps_per_epoch as f64;
        self.bar.set_length(start.steps);
        Ok(())
    }

    fn on_step(&mut self, step: &StepReport) -> Result<(), TrainError> {
        self.advance_to(step.step as f64 / self.steps as f64, 0);
        self.bar.set_position(step.step);
        Ok(())
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> Result<(), TrainError> {
        let text = format!("loss {:.2}, top-1 {:.1} %", evaluation.train_loss, evaluation.top1);
        if self.sweep.display.has_bars() {
            self.bar.set_message(|| text);
        } else {
            let (epoch, epochs) = (evaluation.epoch, self.epochs);
            self.sweep
                .line(&format!("{}: epoch {epoch:.1} of {epochs:.1}, {text}", self.name));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_cost_that_is_done() {
        let mut totals = Totals {
            ended: 1,
            runs: 4,
            done: 0.0,
            cost: 8.0,
        };
        let text = |totals: &Totals| totals.text(Duration::from_secs(30));
        assert_eq!(text(&totals), "1 of 4 runs done, time left not known yet");
        totals.done = 2.0;
        assert_eq!(text(&totals), "1 of 4 runs done, about 1 min 30 s left");
        totals.done = 8.0;
        assert_eq!(text(&totals), "1 of 4 runs done, about 0.0 s left");
    }

    #[test]
    fn a_run_that_fails_early_counts_as_done() {
        let progress = SweepProgress::new(2, 1, 10.0, true);
        let mut run = progress.begin("a", 4.0);
        run.steps = 10;
        let step = StepReport {
            step: 5,
            loss: 1.0,
            correct: 0,
            committed_units: 0,
        };
        run.on_step(&step).unwrap();
        assert_eq!(progress.totals().done, 2.0);
        run.end("failed");
        let totals = progress.totals();
        assert_eq!((totals.done, totals.ended), (4.0, 1));
    }
}
