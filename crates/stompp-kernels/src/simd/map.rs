//! Elementwise functions with vectors.

use super::Lanes;

/// Lanes of the widest vectors.
pub(crate) const MOST_LANES: usize = 16;

/// A function of `N` elements at the same index.
pub(crate) trait Map<const N: usize>: Copy {
    /// Returns the results for `LANES` elements, starting at index `at`. `old` has the previous values if the map needs them; otherwise it
    /// is unspecified.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `L`. Where `at + LANES` exceeds the length, lanes past it are zeros and their
    /// results are dropped.
    unsafe fn apply<L: Lanes>(self, at: usize, inputs: [L::Vector; N], old: L::Vector) -> L::Vector;
}

/// Applies `f` to every element. Unlike [`<[A; N]>::map`](array::map) it is always inlined, so that `f` is compiled with the caller's
/// instructions. `f` should be `#[inline(always)]`, too.
#[inline(always)]
pub(crate) fn each<A: Copy, B: Copy, const N: usize>(a: [A; N], f: impl Fn(A) -> B) -> [B; N] {
    let mut all = [f(a[0]); N];
    for i in 1..N {
        all[i] = f(a[i]);
    }
    all
}

/// Loads `LANES` floats, starting at index `at`. Floats past the end are zero.
///
/// # Safety
///
/// The machine must have the instructions of `L`, and `at <= row.len()`.
#[inline(always)]
pub(crate) unsafe fn load<L: Lanes>(row: &[f32], at: usize) -> L::Vector {
    // SAFETY: the whole vector is inside the row, or inside the copy of its end.
    unsafe {
        if at + L::LANES <= row.len() {
            return L::load(row.as_ptr().add(at));
        }
        let mut lanes = [0.0; MOST_LANES];
        lanes[..row.len() - at].copy_from_slice(&row[at..]);
        L::load(lanes.as_ptr())
    }
}

/// Computes `out = map(inputs)` with vectors of `L`. `UPDATE` is whether the map needs the old values of `out`.
///
/// # Safety
///
/// The machine must have the instructions of `L`.
#[inline(always)]
pub(crate) unsafe fn map_row<L: Lanes, const N: usize, const UPDATE: bool>(
    inputs: [&[f32]; N],
    out: &mut [f32],
    map: impl Map<N>,
) {
    let len = out.len();
    let inputs = each(
        inputs,
        #[inline(always)]
        |input: &[f32]| &input[..len],
    );
    // Whole vectors have a separate loop. If the loop also handled the end, the map's constants would not stay in registers.
    let whole = len / L::LANES * L::LANES;
    for at in (0..whole).step_by(L::LANES) {
        // SAFETY: the caller guarantees the instructions; a whole vector is inside each row.
        unsafe {
            let elements = each(
                inputs,
                #[inline(always)]
                |input: &[f32]| L::load(input.as_ptr().add(at)),
            );
            let to = out.as_mut_ptr().add(at);
            let old = if UPDATE { L::load(to) } else { L::splat(0.0) };
            L::store(to, map.apply::<L>(at, elements, old));
        }
    }
    if whole < len {
        // SAFETY: the caller guarantees the instructions; the end is read from and written to a copy.
        unsafe {
            let elements = each(
                inputs,
                #[inline(always)]
                |input: &[f32]| load::<L>(input, whole),
            );
            let old = if UPDATE { load::<L>(out, whole) } else { L::splat(0.0) };
            let mut lanes = [0.0; MOST_LANES];
            L::store(lanes.as_mut_ptr(), map.apply::<L>(whole, elements, old));
            out[whole..].copy_from_slice(&lanes[..len - whole]);
        }
    }
}
