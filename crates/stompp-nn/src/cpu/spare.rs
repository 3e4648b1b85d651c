//! Buffers between one use and the next, by thread and length.
//!
//! A network asks for the same lengths at each step, and for fewer of them as a prefix is committed. A buffer that has waited
//! while very many others came back is no longer needed and is let go.

use crate::backend::Buffer;
use dfdx::tensor::Cpu;
use std::{cell::RefCell, collections::VecDeque};

/// Buffers that may come back while one waits. A step of a network of a hundred layers gives back two hundred.
const PATIENCE: u64 = 1024;

/// What waits. The last one given back is the last one here, and the first to be taken: it may still be in the processor's
/// cache.
struct Waiting {
    /// Each with the number of buffers that had been given back before.
    buffers: VecDeque<(u64, Buffer<Cpu>)>,
    given: u64,
}

thread_local! {
    static WAITING: RefCell<Waiting> = const {
        RefCell::new(Waiting {
            buffers: VecDeque::new(),
            given: 0,
        })
    };
}

/// A buffer of `len` floats, if there is one.
pub(super) fn take(len: usize) -> Option<Buffer<Cpu>> {
    WAITING.with_borrow_mut(|waiting| {
        let at = waiting.buffers.iter().rposition(|(_, buffer)| buffer.len() == len)?;
        waiting.buffers.remove(at).map(|(_, buffer)| buffer)
    })
}

/// Keeps `buffer`, and lets those go that have waited too long.
pub(super) fn give(buffer: Buffer<Cpu>) {
    // A thread that is ending has dropped its list; then the buffer is simply freed.
    let _ = WAITING.try_with(|waiting| {
        let mut waiting = waiting.borrow_mut();
        let given = waiting.given;
        waiting.buffers.push_back((given, buffer));
        waiting.given += 1;
        while waiting
            .buffers
            .front()
            .is_some_and(|(number, _)| number + PATIENCE < given)
        {
            waiting.buffers.pop_front();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;

    #[test]
    fn the_newest_of_the_right_length_comes_back_and_what_nobody_takes_goes() {
        let dev = Cpu::default();
        let address = |buffer: &Buffer<Cpu>| buffer.as_ptr() as usize;
        let (a, b, other) = (dev.spare(5).unwrap(), dev.spare(5).unwrap(), dev.spare(6).unwrap());
        let (at_a, at_b) = (address(&a), address(&b));
        [a, other, b].into_iter().for_each(|buffer| dev.recycle(buffer));
        let newest = dev.spare(5).unwrap();
        assert_eq!(address(&newest), at_b);
        assert_eq!(address(&dev.spare(5).unwrap()), at_a);
        dev.recycle(newest);
        for _ in 0..PATIENCE / 2 {
            let buffer = dev.spare(5).unwrap();
            assert_eq!(address(&buffer), at_b);
            dev.recycle(buffer);
        }
        assert_eq!(take(6).map(|buffer| buffer.len()), Some(6), "not yet");
        dev.recycle(dev.spare(7).unwrap());
        for _ in 0..=PATIENCE + 1 {
            let buffer = dev.spare(5).unwrap();
            dev.recycle(buffer);
        }
        assert!(take(7).is_none(), "nobody took it");
    }
}
