//! What is seen while runs train: a bar for each on a terminal, lines in a log, nothing if asked to be quiet.

use crate::reproduce::duration::duration;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use stompp_train::callback::{RunStart, StepReport};
use stompp_train::{Callback, Evaluation, TrainError};

/// What is shown.
#[derive(Debug)]
enum Display {
    Bars { all: MultiProgress, overall: ProgressBar },
    Lines,
    Nothing,
}

/// Progress of many runs. All of it goes to standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    display: Display,
    /// Columns of the longest name.
    names: usize,
    begun: Instant,
    tally: Mutex<Tally>,
}

#[derive(Debug)]
struct Tally {
    /// Runs that have ended, of how many.
    ended: usize,
    runs: usize,
    /// Cost of the work that is done, of how much.
    done: f64,
    cost: f64,
}

impl Progress {
    /// For `runs` runs of this cost together, whose names have at most `names` characters.
    pub(crate) fn new(runs: usize, names: usize, cost: f64, quiet: bool) -> Self {
        let display = if quiet {
            Display::Nothing
        } else if std::io::stderr().is_terminal() {
            let all = MultiProgress::new();
            let overall = all.add(
                ProgressBar::new(1000)
                    .with_style(style(names, "{msg}"))
                    .with_prefix("all runs"),
            );
            overall.enable_steady_tick(Duration::from_secs(1));
            Display::Bars { all, overall }
        } else {
            Display::Lines
        };
        Self {
            display,
            names,
            begun: Instant::now(),
            tally: Mutex::new(Tally {
                ended: 0,
                runs,
                done: 0.0,
                cost,
            }),
        }
    }

    /// A line that stays, such as what became of a run.
    fn line(&self, text: &str) {
        match &self.display {
            // A terminal that went away is no reason to stop.
            Display::Bars { all, .. } => drop(all.println(text)),
            Display::Lines => stompp_console::errln!("[{}] {text}", duration(self.begun.elapsed().as_secs_f64())),
            Display::Nothing => {}
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn advance(&self, cost: f64, ended: usize) {
        let mut tally = self.tally();
        tally.done += cost;
        tally.ended += ended;
        if let Display::Bars { overall, .. } = &self.display {
            overall.set_position((1000.0 * tally.done / tally.cost) as u64);
            overall.set_message(tally.text(self.begun.elapsed()));
        }
    }

    /// Begins a run of this cost.
    pub(crate) fn begin(&self, name: &str, cost: f64) -> Watch<'_> {
        let bar = match &self.display {
            Display::Bars { all, overall } => {
                let bar = ProgressBar::new(0)
                    .with_style(style(self.names, "{pos}/{len} steps  {msg}"))
                    .with_prefix(name.to_owned());
                Some(all.insert_before(overall, bar))
            }
            _ => None,
        };
        if bar.is_none() {
            self.line(&format!("{name}: begins"));
        }
        Watch {
            progress: self,
            name: name.to_owned(),
            bar,
            begun: Instant::now(),
            cost,
            reported: 0.0,
            steps: 1,
            epochs: 0.0,
        }
    }

    /// Takes the bars away.
    pub(crate) fn finish(&self) {
        if let Display::Bars { all, .. } = &self.display {
            drop(all.clear()); // As above.
        }
    }
}

impl Tally {
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

fn style(names: usize, end: &str) -> ProgressStyle {
    let template = format!("{{prefix:{names}}} {{bar:20}} {end}");
    ProgressStyle::with_template(&template).expect("the template is valid")
}

/// Looks on while one run trains.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    progress: &'a Progress,
    name: String,
    bar: Option<ProgressBar>,
    begun: Instant,
    cost: f64,
    /// How much of the cost has been told.
    reported: f64,
    steps: u64,
    epochs: f64,
}

impl Watch<'_> {
    fn advance_to(&mut self, share: f64, ended: usize) {
        let reached = self.cost * share;
        self.progress.advance(reached - self.reported, ended);
        self.reported = reached;
    }

    /// Ends the run, with what became of it.
    pub(crate) fn end(mut self, outcome: &str) {
        self.advance_to(1.0, 1);
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let took = duration(self.begun.elapsed().as_secs_f64());
        let overall = self.progress.tally().text(self.progress.begun.elapsed());
        self.progress
            .line(&format!("{}: {outcome} after {took}; {overall}", self.name));
    }
}

impl Callback for Watch<'_> {
    fn on_start(&mut self, start: &RunStart) -> Result<(), TrainError> {
        self.steps = start.steps;
        self.epochs = start.steps as f64 / start.steps_per_epoch as f64;
        if let Some(bar) = &self.bar {
            bar.set_length(start.steps);
        }
        Ok(())
    }

    fn on_step(&mut self, step: &StepReport) -> Result<(), TrainError> {
        self.advance_to(step.step as f64 / self.steps as f64, 0);
        if let Some(bar) = &self.bar {
            bar.set_position(step.step);
        }
        Ok(())
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> Result<(), TrainError> {
        let text = format!("loss {:.2}, top-1 {:.1} %", evaluation.train_loss, evaluation.top1);
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => {
                let line = format!(
                    "{}: epoch {:.1} of {:.1}, {text}",
                    self.name, evaluation.epoch, self.epochs
                );
                self.progress.line(&line);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_cost_that_is_done() {
        let mut tally = Tally {
            ended: 1,
            runs: 4,
            done: 0.0,
            cost: 8.0,
        };
        let text = |tally: &Tally| tally.text(Duration::from_secs(30));
        assert_eq!(text(&tally), "1 of 4 runs done, time left not known yet");
        tally.done = 2.0;
        assert_eq!(text(&tally), "1 of 4 runs done, about 1 min 30 s left");
        tally.done = 8.0;
        assert_eq!(text(&tally), "1 of 4 runs done, about 0.0 s left");
    }

    #[test]
    fn a_run_that_fails_early_counts_as_done() {
        let progress = Progress::new(2, 1, 10.0, true);
        let mut watch = progress.begin("a", 4.0);
        watch.steps = 10;
        let step = StepReport {
            step: 5,
            loss: 1.0,
            correct: 0,
            committed_units: 0,
        };
        watch.on_step(&step).unwrap();
        assert_eq!(progress.tally().done, 2.0);
        watch.end("failed");
        let tally = progress.tally();
        assert_eq!((tally.done, tally.ended), (4.0, 1));
    }
}
