//! Keeps the threads of a rayon pool awake while an image runs.
//!
//! A step takes microseconds, but waking a thread takes as long as many steps. So threads wait actively between the steps of one image.

use rayon::Yield;
use std::{
    hint, iter,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// Number of unsuccessful searches for work after which a thread lets others of the machine run.
const SEARCHES: usize = 1 << 10;

/// Calls `run` while `threads - 1` other threads of the current pool, if they are free, look for its parts. Allocates nothing.
pub(super) fn with_threads<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> R {
    /// Ends the search, also if `run` panics.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }

    if threads < 2 {
        return run();
    }
    let is_done = AtomicBool::new(false);
    let run = || {
        let _done = Done(&is_done);
        run()
    };
    rayon::join(run, || help(threads - 1, &is_done)).0
}

/// Does parts of the work in `threads` threads until `is_done`.
fn help(threads: usize, is_done: &AtomicBool) {
    if threads > 1 {
        rayon::join(|| help(1, is_done), || help(threads - 1, is_done));
        return;
    }
    let mut searches = 0;
    while !is_done.load(Ordering::Acquire) {
        if rayon::yield_now() == Some(Yield::Executed) {
            searches = 0;
        } else if searches < SEARCHES {
            searches += 1;
            iter::repeat_n((), 8).for_each(|()| hint::spin_loop());
        } else {
            thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pool's threads do the parts of a run, and a pool without free threads does all of it.
    #[test]
    fn runs_end_with_any_number_of_threads() {
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for asked in [1, 2, 9] {
                let sum = || rayon::join(|| 1, || rayon::join(|| 2, || 3));
                assert_eq!(pool.install(|| with_threads(asked, sum)), (1, (2, 3)));
            }
        }
    }

    #[test]
    fn a_panic_ends_the_search() {
        let run = || with_threads(3, || panic!("intended"));
        assert!(std::panic::catch_unwind(run).is_err());
    }
}
