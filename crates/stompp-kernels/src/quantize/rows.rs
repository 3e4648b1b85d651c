//! The quantizer and its gradient for entries of one sample, with vectors.

use super::{FreezeState, Surrogate};
use crate::simd::{Lanes, Map, map_row};

/// Computes the quantizer's input from an element in memory.
pub(crate) trait Value: Copy {
    /// Returns the values of one vector of elements, starting at index `at` of the row.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `L`.
    unsafe fn value<L: Lanes>(self, at: usize, x: L::Vector) -> L::Vector;
}

/// The element itself.
#[derive(Clone, Copy)]
pub(super) struct Element;

impl Value for Element {
    #[inline(always)]
    unsafe fn value<L: Lanes>(self, _: usize, x: L::Vector) -> L::Vector {
        x
    }
}

/// Computes `out = quantize(value of x)`. Entry `first` of the mask belongs to `x[0]`.
///
/// # Safety
///
/// The machine must have the instructions of `L`.
#[inline(always)]
pub(crate) unsafe fn quantize<L: Lanes>(
    mask: FreezeState<&[u64]>,
    first: usize,
    value: impl Value,
    x: &[f32],
    out: &mut [f32],
) {
    // SAFETY: the caller guarantees the instructions.
    unsafe {
        match mask {
            FreezeState::Open => map_row::<L, 1, false>([x], out, Clip(value)),
            FreezeState::Committed => map_row::<L, 1, false>([x], out, Sign(value)),
            FreezeState::Freezing(words) => {
                map_row::<L, 1, false>(
                    [x],
                    out,
                    Mixed {
                        frozen: Bits { words, first },
                        value,
                    },
                );
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Clip<V>(V);

impl<V: Value> Map<1> for Clip<V> {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(self, at: usize, [x]: [L::Vector; 1], _: L::Vector) -> L::Vector {
        // SAFETY: the caller guarantees the instructions.
        unsafe { clip::<L>(self.0.value::<L>(at, x)) }
    }
}

#[derive(Clone, Copy)]
struct Sign<V>(V);

impl<V: Value> Map<1> for Sign<V> {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(self, at: usize, [x]: [L::Vector; 1], _: L::Vector) -> L::Vector {
        // SAFETY: the caller guarantees the instructions.
        unsafe { sign::<L>(self.0.value::<L>(at, x)) }
    }
}

#[derive(Clone, Copy)]
struct Mixed<'a, V> {
    frozen: Bits<'a>,
    value: V,
}

impl<V: Value> Map<1> for Mixed<'_, V> {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(self, at: usize, [x]: [L::Vector; 1], _: L::Vector) -> L::Vector {
        // SAFETY: the caller guarantees the instructions.
        unsafe {
            let u = self.value.value::<L>(at, x);
            L::select(L::mask(self.frozen.from(at)), sign::<L>(u), clip::<L>(u))
        }
    }
}

/// Returns the sign: `+1` for 0 and -0, `-1` for NaN.
#[inline(always)]
unsafe fn sign<L: Lanes>(u: L::Vector) -> L::Vector {
    // SAFETY: the caller guarantees the instructions.
    unsafe { L::select(L::at_least(u, L::splat(0.0)), L::splat(1.0), L::splat(-1.0)) }
}

/// Returns `clip(u, -1, 1)`. NaN stays NaN.
#[inline(always)]
unsafe fn clip<L: Lanes>(u: L::Vector) -> L::Vector {
    // SAFETY: the caller guarantees the instructions.
    unsafe {
        let (low, high) = (L::splat(-1.0), L::splat(1.0));
        let u = L::select(L::at_least(u, high), high, u);
        L::select(L::at_least(low, u), low, u)
    }
}

/// The entries that pass gradient.
#[derive(Clone, Copy)]
pub(crate) enum GradientFilter<'a> {
    /// No entry.
    None,
    /// All entries.
    All,
    /// The entries with `|u| <= 1`.
    Clipped,
    /// Frozen entries always or never, open entries with `|u| <= 1`.
    Masked { frozen: &'a [u64], frozen_pass: bool },
}

impl<'a> GradientFilter<'a> {
    pub(crate) fn new(mask: FreezeState<&'a [u64]>, surrogate: Surrogate) -> Self {
        match (mask, surrogate) {
            (FreezeState::Open, _) | (_, Surrogate::Clipped) => GradientFilter::Clipped,
            (FreezeState::Committed, Surrogate::Blocked) => GradientFilter::None,
            (FreezeState::Committed, Surrogate::Identity) => GradientFilter::All,
            (FreezeState::Freezing(frozen), _) => GradientFilter::Masked {
                frozen,
                frozen_pass: surrogate == Surrogate::Identity,
            },
        }
    }
}

/// Computes `gu = g` where the filter passes it, else 0. With `ADD`, adds to `gu`. Entry `first` of the mask belongs to `x[0]`.
///
/// # Safety
///
/// The machine must have the instructions of `L`.
#[inline(always)]
pub(crate) unsafe fn pass<L: Lanes, const ADD: bool>(
    gate: GradientFilter,
    first: usize,
    value: impl Value,
    x: &[f32],
    g: &[f32],
    gu: &mut [f32],
) {
    // SAFETY: the caller guarantees the instructions.
    unsafe {
        match gate {
            GradientFilter::None if ADD => {}
            GradientFilter::None => gu.fill(0.0),
            GradientFilter::All => map_row::<L, 1, ADD>([g], gu, PassAll::<ADD>),
            GradientFilter::Clipped => map_row::<L, 2, ADD>([x, g], gu, PassWithin::<_, ADD>(value)),
            GradientFilter::Masked { frozen, frozen_pass } => {
                let (frozen, passes) = (Bits { words: frozen, first }, if frozen_pass { u32::MAX } else { 0 });
                map_row::<L, 2, ADD>([x, g], gu, PassMixed::<_, ADD> { frozen, passes, value });
            }
        }
    }
}

#[derive(Clone, Copy)]
struct PassAll<const ADD: bool>;

impl<const ADD: bool> Map<1> for PassAll<ADD> {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(self, _: usize, [g]: [L::Vector; 1], old: L::Vector) -> L::Vector {
        // SAFETY: the caller guarantees the instructions.
        unsafe { if ADD { L::add(old, g) } else { g } }
    }
}

#[derive(Clone, Copy)]
struct PassWithin<V, const ADD: bool>(V);

impl<V: Value, const ADD: bool> Map<2> for PassWithin<V, ADD> {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(self, at: usize, [x, g]: [L::Vector; 2], old: L::Vector) -> L::Vector {
        // SAFETY: the caller guarantees the instructions.
        unsafe {
            let passed = L::select(within::<L>(self.0.value::<L>(at, x)), g, L::splat(0.0));
            PassAll::<ADD>.apply::<L>(at, [passed], old)
        }
    }
}

#[derive(Clone, Copy)]
struct PassMixed<'a, V, const ADD: bool> {
    frozen: Bits<'a>,
    /// All ones if frozen entries pass gradient, else 0.
    passes: u32,
    value: V,
}

impl<V: Value, const ADD: bool> Map<2> for PassMixed<'_, V, ADD> {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(self, at: usize, [x, g]: [L::Vector; 2], old: L::Vector) -> L::Vector {
        // SAFETY: the caller guarantees the instructions.
        unsafe {
            let (frozen, zero) = (self.frozen.from(at), L::splat(0.0));
            let of_frozen = L::select(L::mask(frozen & self.passes), g, zero);
            let of_open = L::select(within::<L>(self.value.value::<L>(at, x)), g, zero);
            let passed = L::select(L::mask(frozen), of_frozen, of_open);
            PassAll::<ADD>.apply::<L>(at, [passed], old)
        }
    }
}

/// Returns the lanes where `|u| <= 1`. NaN is not among them.
#[inline(always)]
unsafe fn within<L: Lanes>(u: L::Vector) -> L::Mask {
    // SAFETY: the caller guarantees the instructions.
    unsafe { L::at_least(L::splat(1.0), L::abs(u)) }
}

/// The bits of a mask, starting at some bit.
#[derive(Clone, Copy)]
struct Bits<'a> {
    words: &'a [u64],
    first: usize,
}

impl Bits<'_> {
    /// Returns at least as many bits as a vector has lanes, starting at bit `first + at`. Bits past the last word are zero.
    #[inline(always)]
    fn from(self, at: usize) -> u32 {
        let (word, shift) = ((self.first + at) / 64, (self.first + at) % 64);
        let low = self.words[word] >> shift;
        let high = if shift > 32 {
            self.words.get(word + 1).map_or(0, |word| word << (64 - shift))
        } else {
            0
        };
        (low | high) as u32
    }
}
