//! Keeps the threads of a rayon pool awake while an image runs.
//!
//! A step takes microseconds, but waking a thread takes as long as many steps. So threads search actively for work between the steps of
//! one image. A thread never waits here for another one: it gives up after a number of searches.

use rayon::Yield;
use std::{
    cell::Cell,
    hint, iter,
    sync::atomic::{AtomicBool, Ordering},
};

/// Number of unsuccessful searches for work after which a thread gives up: about a fifth of a millisecond.
const SEARCHES: usize = 1 << 11;

thread_local! {
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread, until it is dropped, as one that works on an image. Such a thread may find the search of an image while it waits for
/// a part of its own work. It must not search then, because its own work would wait for it.
pub(super) struct Inside(bool);

impl Inside {
    pub(super) fn enter() -> Self {
        Self(IS_INSIDE.replace(true))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        IS_INSIDE.set(self.0);
    }
}

/// Calls `run` while `threads - 1` other threads of the current pool, if they are free, search for its parts. Allocates nothing.
pub(super) fn with_threads(threads: usize, run: &mut (dyn FnMut() + Send)) {
    /// Ends the searches, also if `run` panics.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }

    let is_done = AtomicBool::new(false);
    with_searches(threads - 1, &is_done, &mut || {
        let _done = Done(&is_done);
        let _inside = Inside::enter();
        run();
    });
}

/// Offers `searches` searches to other threads, then calls `run`.
fn with_searches(searches: usize, is_done: &AtomicBool, run: &mut (dyn FnMut() + Send)) {
    match searches {
        0 => run(),
        _ => drop(rayon::join(
            || with_searches(searches - 1, is_done, run),
            || search(is_done),
        )),
    }
}

/// Does parts of the work until `is_done`, or until there is nothing to do for a while.
fn search(is_done: &AtomicBool) {
    if IS_INSIDE.get() {
        return;
    }
    let _inside = Inside::enter();
    let mut searches = 0;
    while searches < SEARCHES && !is_done.load(Ordering::Acquire) {
        if rayon::yield_now() == Some(Yield::Executed) {
            searches = 0;
        } else {
            searches += 1;
            iter::repeat_n((), 8).for_each(|()| hint::spin_loop());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    fn sum(numbers: std::ops::Range<u64>) -> u64 {
        let _inside = Inside::enter();
        match numbers.end - numbers.start {
            0..=2 => numbers.sum(),
            len => {
                let middle = numbers.start + len / 2;
                let (a, b) = rayon::join(|| sum(numbers.start..middle), || sum(middle..numbers.end));
                a + b
            }
        }
    }

    /// Pools of any size, with more threads than cores, with several images at a time, and inside of other parallel work.
    #[test]
    fn every_run_ends() {
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for asked in [1, 2, 3, 9] {
                let run = |_: u64| {
                    let mut total = 0;
                    with_threads(asked, &mut || total = (0..3).map(|_| sum(0..100)).sum());
                    total
                };
                let sums: u64 = pool.install(|| (0..300).into_par_iter().map(run).sum());
                assert_eq!(sums, 300 * 3 * 4950);
            }
        }
        let mut total = 0;
        with_threads(3, &mut || total += 5);
        assert_eq!(total, 5, "outside of a pool, and once");
    }

    #[test]
    fn a_thread_that_works_on_an_image_does_not_search() {
        let _inside = Inside::enter();
        search(&AtomicBool::new(false));
        drop(_inside);
        assert!(!IS_INSIDE.get());
    }

    #[test]
    fn a_search_without_work_ends() {
        search(&AtomicBool::new(false));
    }

    #[test]
    fn a_panic_ends_the_search() {
        let run = || with_threads(3, &mut || panic!("intended"));
        assert!(std::panic::catch_unwind(run).is_err());
        assert!(!IS_INSIDE.get());
    }
}
