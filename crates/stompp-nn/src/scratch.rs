//! Free buffers for reuse, by length.
//!
//! A network needs the same lengths at each step, and fewer buffers as a prefix is committed. A buffer that stays free while very
//! many others are released is no longer needed and is dropped.

use std::collections::VecDeque;

/// A free buffer is dropped after this many other releases. A step of a network of a hundred layers releases two hundred buffers.
const MAX_AGE: u64 = 1024;

/// Free buffers in the order of their release. The newest one is reused first: it may still be in the processor's cache.
#[derive(Debug)]
pub(crate) struct Scratch<B> {
    buffers: VecDeque<FreeBuffer<B>>,
    released: u64,
}

#[derive(Debug)]
struct FreeBuffer<B> {
    /// Number of buffers that had been released before.
    number: u64,
    len: usize,
    buffer: B,
}

impl<B> Scratch<B> {
    /// No free buffers.
    pub(crate) const fn new() -> Self {
        Self {
            buffers: VecDeque::new(),
            released: 0,
        }
    }

    /// Takes a free buffer of `len` floats, if there is one.
    pub(crate) fn acquire(&mut self, len: usize) -> Option<B> {
        let at = self.buffers.iter().rposition(|free| free.len == len)?;
        self.buffers.remove(at).map(|free| free.buffer)
    }

    /// Keeps `buffer`, of `len` floats, for reuse. Drops buffers that have been free for too long.
    pub(crate) fn release(&mut self, len: usize, buffer: B) {
        let number = self.released;
        self.buffers.push_back(FreeBuffer { number, len, buffer });
        self.released += 1;
        while self
            .buffers
            .front()
            .is_some_and(|first| first.number + MAX_AGE < number)
        {
            self.buffers.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_the_right_length_comes_back_and_what_nobody_takes_goes() {
        let mut scratch = Scratch::new();
        [(5, 'a'), (6, 'o'), (5, 'b')]
            .into_iter()
            .for_each(|(len, name)| scratch.release(len, name));
        assert_eq!(scratch.acquire(5), Some('b'));
        assert_eq!(scratch.acquire(5), Some('a'));
        assert_eq!(scratch.acquire(5), None);
        for _ in 0..MAX_AGE / 2 {
            scratch.release(5, 'b');
            assert_eq!(scratch.acquire(5), Some('b'));
        }
        assert_eq!(scratch.acquire(6), Some('o'), "not yet");
        scratch.release(7, 'n');
        for _ in 0..=MAX_AGE + 1 {
            scratch.release(5, 'b');
            scratch.acquire(5);
        }
        assert_eq!(scratch.acquire(7), None, "nobody took it");
    }
}
