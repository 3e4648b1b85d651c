//! Scratch memory, aligned to cache lines. Each thread keeps it for later calls.

use std::cell::RefCell;

/// Floats in a cache line.
const LINE: usize = 16;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Floats on a cache-line boundary. They may contain values of earlier uses. On drop, the thread keeps the memory for reuse.
pub(crate) struct Scratch {
    lines: Vec<Line>,
    len: usize,
}

impl Scratch {
    /// Returns `len` floats with unspecified (but initialized) values.
    pub(crate) fn new(len: usize) -> Self {
        let mut lines = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
        let wanted = len.div_ceil(LINE);
        if lines.len() < wanted {
            lines.resize(wanted, Line([0.0; LINE]));
        }
        Self { lines, len }
    }

    /// Returns `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut scratch = Self::new(len);
        scratch.fill(0.0);
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        // A thread that is ending has already dropped its list. Then the memory is freed.
        let _ = FREE.try_with(|free| free.borrow_mut().push(lines));
    }
}

impl std::ops::Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `Line` is `repr(C)` around `[f32; 16]` of size 64, so the lines are `16 * lines.len()` contiguous
        // initialized floats, and `len` is at most that.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl std::ops::DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; `&mut self` makes the borrow unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::Scratch;

    #[test]
    fn is_aligned_and_reused() {
        let first = Scratch::new(100);
        let address = first.as_ptr() as usize;
        assert_eq!(address % 64, 0);
        assert_eq!(first.len(), 100);
        drop(first);
        let again = Scratch::zeros(50);
        assert_eq!(again.as_ptr() as usize, address);
        assert!(again.iter().all(|&x| x == 0.0));
    }
}
