//! Buffers between one use and the next, by length.
//!
//! A network asks for the same lengths at each step, and for fewer of them as a prefix is committed. A buffer that has waited
//! while very many others came back is no longer needed and is let go.

use std::collections::VecDeque;

/// Buffers that may come back while one waits. A step of a network of a hundred layers gives back two hundred.
const PATIENCE: u64 = 1024;

/// What waits. The last one given back is the last one here, and the first to be taken: it may still be in the processor's
/// cache.
#[derive(Debug)]
pub(crate) struct Scratch<B> {
    buffers: VecDeque<FreeBuffer<B>>,
    given: u64,
}

#[derive(Debug)]
struct FreeBuffer<B> {
    /// How many buffers had been given back before.
    number: u64,
    len: usize,
    buffer: B,
}

impl<B> Scratch<B> {
    /// Nothing waits.
    pub(crate) const fn new() -> Self {
        Self {
            buffers: VecDeque::new(),
            given: 0,
        }
    }

    /// A buffer of `len` floats, if there is one.
    pub(crate) fn acquire(&mut self, len: usize) -> Option<B> {
        let at = self.buffers.iter().rposition(|waiting| waiting.len == len)?;
        self.buffers.remove(at).map(|waiting| waiting.buffer)
    }

    /// Keeps `buffer`, of `len` floats, and lets those go that have waited too long.
    pub(crate) fn release(&mut self, len: usize, buffer: B) {
        let number = self.given;
        self.buffers.push_back(FreeBuffer { number, len, buffer });
        self.given += 1;
        while self
            .buffers
            .front()
            .is_some_and(|first| first.number + PATIENCE < number)
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
        for _ in 0..PATIENCE / 2 {
            scratch.release(5, 'b');
            assert_eq!(scratch.acquire(5), Some('b'));
        }
        assert_eq!(scratch.acquire(6), Some('o'), "not yet");
        scratch.release(7, 'n');
        for _ in 0..=PATIENCE + 1 {
            scratch.release(5, 'b');
            scratch.acquire(5);
        }
        assert_eq!(scratch.acquire(7), None, "nobody took it");
    }
}
