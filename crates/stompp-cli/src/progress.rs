//! Shows the progress of a training: a bar on a terminal, otherwise plain lines.

use std::time::{Duration, Instant};
use stompp_console::progress::{Bar, HumanDuration, Progress};
use stompp_train::{
    Callback, Evaluation, InitReport, RunResult, TrainError,
    callback::{EpochReport, RestoreReport, RunStart, StepReport},
};

/// Weight of the last batch in the moving averages that the bar shows.
const SMOOTHING: f64 = 0.02;

/// Writes the progress of a training to standard error.
pub(crate) struct TrainProgress {
    display: Progress,
    bar: Bar,
    start: RunStart,
    begun: Instant,
    /// When the last step or evaluation ended.
    last: Instant,
    /// Moving averages over recent batches; `None` before the first.
    recent: Option<RecentSteps>,
}

struct RecentSteps {
    loss: f64,
    top1: f64,
    /// Seconds per step. They fall as the network freezes; a mean since the start would hide that.
    step_s: f64,
}

impl TrainProgress {
    pub(crate) fn new() -> Self {
        let display = Progress::stderr();
        // A narrow terminal cuts the message at its end.
        let bar = display.bar("{bar:10} {pos}/{len}  ETA {eta}  {wide_msg}");
        Self {
            display,
            bar,
            start: RunStart::default(),
            begun: Instant::now(),
            last: Instant::now(),
            recent: None,
        }
    }

    /// Writes a permanent line.
    fn line(&self, text: &str) {
        self.display.line(text);
    }

    /// Estimated time to the end, from the mean time per step since the training started or resumed.
    fn time_left(&self, done: u64) -> Duration {
        let since = done.saturating_sub(self.start.step).max(1);
        let a_step = self.begun.elapsed().as_secs_f64() / since as f64;
        Duration::from_secs_f64(a_step * self.start.steps.saturating_sub(done) as f64)
    }
}

impl Callback for TrainProgress {
    fn on_start(&mut self, start: &RunStart) -> Result<(), TrainError> {
        self.start = start.clone();
        self.begun = Instant::now();
        self.last = self.begun;
        self.bar.set_length(start.steps);
        self.line(&format!(
            "{} training and {} test images; {} steps of {} images, {} an epoch; {} units",
            start.train_images, start.test_images, start.steps, start.batch_size, start.steps_per_epoch, start.units
        ));
        if start.step > 0 {
            self.line(&format!("resumes after step {}", start.step));
        }
        for change in &start.changes {
            self.line(&format!("changed since: {change}"));
        }
        Ok(())
    }

    fn on_init(&mut self, init: &InitReport) -> Result<(), TrainError> {
        self.line(&format!(
            "loaded {} of the network's {} tensors from {}",
            init.taken.len(),
            init.taken.len() + init.not_taken.len(),
            init.file.display()
        ));
        for tensor in &init.not_taken {
            self.line(&format!("  not taken: {tensor}"));
        }
        for tensor in &init.unused {
            self.line(&format!("  not used: {tensor}"));
        }
        if init.clamped > 0 {
            self.line(&format!(
                "  {} latent weights were outside of [-1, 1] and have been clamped",
                init.clamped
            ));
        }
        Ok(())
    }

    fn on_step(&mut self, step: &StepReport) -> Result<(), TrainError> {
        let (loss, top1) = (
            f64::from(step.loss),
            100.0 * step.correct as f64 / self.start.batch_size as f64,
        );
        let step_s = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        let recent = self.recent.get_or_insert(RecentSteps { loss, top1, step_s });
        recent.loss += SMOOTHING * (loss - recent.loss);
        recent.top1 += SMOOTHING * (top1 - recent.top1);
        recent.step_s += SMOOTHING * (step_s - recent.step_s);
        self.bar.set_message(|| {
            let images_per_s = self.start.batch_size as f64 / recent.step_s;
            format!(
                "loss {:.3}  top-1 {:.1} %  committed {}/{}  {images_per_s:.0} images/s",
                recent.loss, recent.top1, step.committed_units, self.start.units
            )
        });
        self.bar.set_position(step.step);
        Ok(())
    }

    fn on_epoch(&mut self, epoch: &EpochReport) -> Result<(), TrainError> {
        let seconds = &epoch.seconds;
        let percent = |part: f64| 100.0 * part / seconds.total();
        self.line(&format!(
            "epoch {:.4}  step {}/{}  loss {:.4}  train {:.2} %  {:.0} images/s  committed {}/{}  frozen {:.1} %  \
             (data {:.0} %, forward {:.0} %, backward {:.0} %, update {:.0} %)  ETA {}",
            epoch.epoch,
            epoch.step,
            self.start.steps,
            epoch.train_loss,
            epoch.train_top1,
            epoch.images_per_s,
            epoch.committed_units,
            epoch.units,
            100.0 * epoch.frozen_fraction,
            percent(seconds.data),
            percent(seconds.forward),
            percent(seconds.backward),
            percent(seconds.update),
            HumanDuration(self.time_left(epoch.step)),
        ));
        Ok(())
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> Result<(), TrainError> {
        self.line(&format!(
            "  test after step {}: top-1 {:.2} % deployed, {:.2} % as it stands",
            evaluation.step, evaluation.top1, evaluation.top1_as_it_stands
        ));
        self.last = Instant::now();
        Ok(())
    }

    fn on_bad_images(&mut self, images: &[String]) -> Result<(), TrainError> {
        self.line(&format!("{} images could not be read and were left out:", images.len()));
        images.iter().for_each(|image| self.line(&format!("  {image}")));
        Ok(())
    }

    fn on_notes(&mut self, notes: &[String]) -> Result<(), TrainError> {
        notes.iter().for_each(|note| self.line(&format!("note: {note}")));
        Ok(())
    }

    fn on_restore(&mut self, restored: &RestoreReport) -> Result<(), TrainError> {
        self.line(&format!(
            "{}; back to step {} with learning rate {}",
            restored.divergence, restored.step, restored.learning_rate
        ));
        Ok(())
    }

    fn on_end(&mut self, result: &RunResult) -> Result<(), TrainError> {
        self.bar.clear();
        self.line(&format!(
            "{} steps in {:.1} s, {:.0} images/s",
            result.steps, result.seconds, result.images_per_s
        ));
        Ok(())
    }
}
