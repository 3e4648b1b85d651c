//! A thread that writes and removes files while the training goes on.

use crate::TrainError;
use std::{
    io, panic,
    sync::mpsc::{self, Receiver, RecvError, Sender, TryRecvError},
    thread::{self, JoinHandle},
};

type Job = Box<dyn FnOnce() -> Result<(), TrainError> + Send>;

/// Runs jobs one after another in a thread of its own. After an error it runs no more. Dropping it waits for the jobs.
#[derive(Debug)]
pub(super) struct BackgroundWriter {
    /// `None` while it is dropped.
    jobs: Option<Sender<Job>>,
    results: Receiver<Result<(), TrainError>>,
    /// Number of jobs whose results have not been received.
    pending: usize,
    thread: Option<JoinHandle<()>>,
}

impl BackgroundWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// Returns the I/O error if the system cannot start a thread.
    pub(super) fn new() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (sender, results) = mpsc::channel();
        let work = move || {
            for job in queue {
                let result = job();
                let failed = result.is_err();
                // Nobody receives it if the run has failed for another reason.
                let _ = sender.send(result);
                if failed {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("checkpoints".to_owned()).spawn(work)?;
        Ok(Self {
            jobs: Some(jobs),
            results,
            pending: 0,
            thread: Some(thread),
        })
    }

    /// Adds a job.
    ///
    /// # Errors
    /// Returns the error of a job that has failed.
    ///
    /// # Panics
    /// Panics if a job has panicked, or if it is called after an error.
    pub(super) fn start(
        &mut self,
        job: impl FnOnce() -> Result<(), TrainError> + Send + 'static,
    ) -> Result<(), TrainError> {
        let jobs = self.jobs.as_ref().expect("it is not being dropped");
        if jobs.send(Box::new(job)).is_err() {
            self.check()?;
            panic!("a run goes on after its checkpoint could not be written");
        }
        self.pending += 1;
        Ok(())
    }

    /// Returns the error of a job that has failed. Does not wait.
    ///
    /// # Panics
    /// Panics if a job has panicked.
    pub(super) fn check(&mut self) -> Result<(), TrainError> {
        loop {
            match self.results.try_recv() {
                Ok(result) => self.receive(result)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => {
                    self.end();
                    return Ok(());
                }
            }
        }
    }

    /// Waits for all jobs. Returns the error of the first one that has failed.
    ///
    /// # Panics
    /// Panics if a job has panicked.
    pub(super) fn wait(&mut self) -> Result<(), TrainError> {
        while self.pending > 0 {
            match self.results.recv() {
                Ok(result) => self.receive(result)?,
                Err(RecvError) => self.end(),
            }
        }
        Ok(())
    }

    fn receive(&mut self, result: Result<(), TrainError>) -> Result<(), TrainError> {
        self.pending -= 1;
        result
    }

    /// The thread has ended: after an error, which was returned before, or by a panic, which goes on here.
    fn end(&mut self) {
        self.pending = 0;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            panic::resume_unwind(panic);
        }
    }
}

impl Drop for BackgroundWriter {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, its panic was printed.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn failed() -> Result<(), TrainError> {
        Err(TrainError::Device("full".to_owned()))
    }

    #[test]
    fn jobs_run_in_order_beside_the_caller() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut writer = BackgroundWriter::new().unwrap();
        let (go, gate) = mpsc::channel();
        let first = Arc::clone(&order);
        writer
            .start(move || {
                gate.recv().unwrap();
                first.lock().unwrap().push(1);
                Ok(())
            })
            .unwrap();
        let second = Arc::clone(&order);
        writer
            .start(move || {
                second.lock().unwrap().push(2);
                Ok(())
            })
            .unwrap();
        writer.check().unwrap();
        assert!(
            order.lock().unwrap().is_empty(),
            "the caller goes on before the first job is done"
        );
        go.send(()).unwrap();
        writer.wait().unwrap();
        assert_eq!(*order.lock().unwrap(), [1, 2]);
    }

    #[test]
    fn an_error_is_told_once_and_stops_the_jobs_behind_it() {
        let mut writer = BackgroundWriter::new().unwrap();
        writer.start(failed).unwrap();
        let behind = writer.start(|| panic!("a job behind an error"));
        assert!(matches!(
            behind.and_then(|()| writer.wait()),
            Err(TrainError::Device(_))
        ));
        assert!(writer.wait().is_ok());
        for told in [BackgroundWriter::check, |writer: &mut BackgroundWriter| {
            writer.start(|| Ok(()))
        }] {
            let mut writer = BackgroundWriter::new().unwrap();
            writer.start(failed).unwrap();
            while told(&mut writer).is_ok() {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn a_panic_is_not_lost() {
        for check in [BackgroundWriter::wait, BackgroundWriter::check] {
            let mut writer = BackgroundWriter::new().unwrap();
            writer.start(|| panic!("intended")).unwrap();
            let told = panic::catch_unwind(panic::AssertUnwindSafe(|| {
                while writer.pending > 0 {
                    check(&mut writer).unwrap();
                }
            }));
            assert!(told.is_err());
        }
    }

    #[test]
    fn dropping_it_waits() {
        let done = Arc::new(Mutex::new(false));
        let mut writer = BackgroundWriter::new().unwrap();
        let flag = Arc::clone(&done);
        writer
            .start(move || {
                thread::sleep(std::time::Duration::from_millis(20));
                *flag.lock().unwrap() = true;
                Ok(())
            })
            .unwrap();
        drop(writer);
        assert!(*done.lock().unwrap());
    }
}
