//! Selects the vector instructions that the kernels use.
//!
//! [`level`] returns the highest [`SimdLevel`] that the machine supports. The environment variable `STOMPP_SIMD` (`portable`, `avx2` or
//! `avx512`) or [`with_level`] on the calling thread select another level. A kernel calls [`level`] once, on the calling thread. Its
//! tasks on other threads use the same level.

mod lanes;
mod map;

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
pub(crate) use lanes::{Avx2, Avx512};
pub(crate) use lanes::{Lanes, Portable};
pub(crate) use map::{MOST_LANES, Map, each, load, map_row};

/// The environment variable that forces a level for the whole process. It is read once.
pub const VARIABLE: &str = "STOMPP_SIMD";

/// A set of vector instructions. A machine that supports a level supports all lower levels, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SimdLevel {
    /// The instructions of the compilation target (SSE2 on x86-64). Multiplication and addition are not fused.
    Portable,
    /// AVX2 and FMA: 8 floats a vector.
    Avx2,
    /// AVX2, FMA and AVX-512 F, BW, DQ and VL: 16 floats a vector.
    Avx512,
}

impl SimdLevel {
    /// All levels, lowest first.
    pub const ALL: [SimdLevel; 3] = [SimdLevel::Portable, SimdLevel::Avx2, SimdLevel::Avx512];

    /// Whether this machine supports the level.
    pub fn is_supported(self) -> bool {
        self <= detected()
    }

    /// Returns the name of the level, as in [`VARIABLE`].
    pub fn name(self) -> &'static str {
        match self {
            SimdLevel::Portable => "portable",
            SimdLevel::Avx2 => "avx2",
            SimdLevel::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for SimdLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error for a name that is not the name of a [`SimdLevel`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLevel(String);

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown SIMD level `{}`: expected portable, avx2 or avx512", self.0)
    }
}

impl std::error::Error for UnknownLevel {}

impl FromStr for SimdLevel {
    type Err = UnknownLevel;

    fn from_str(s: &str) -> Result<Self, UnknownLevel> {
        SimdLevel::ALL
            .into_iter()
            .find(|level| level.name() == s)
            .ok_or_else(|| UnknownLevel(s.to_owned()))
    }
}

thread_local! {
    static FORCED: Cell<Option<SimdLevel>> = const { Cell::new(None) };
}

/// Returns the level that kernels use when they are called on this thread.
///
/// # Panics
///
/// Panics if [`VARIABLE`] has an unknown level or a level that this machine does not support.
pub fn level() -> SimdLevel {
    FORCED.get().unwrap_or_else(process_level)
}

/// Runs `f` with `level` on this thread, for tests and measurements.
///
/// # Panics
///
/// Panics if this machine does not support `level`.
pub fn with_level<R>(level: SimdLevel, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<SimdLevel>);
    impl Drop for Restore {
        fn drop(&mut self) {
            FORCED.set(self.0);
        }
    }
    assert!(level.is_supported(), "this machine lacks the SIMD level {level}");
    let _restore = Restore(FORCED.replace(Some(level)));
    f()
}

fn process_level() -> SimdLevel {
    static LEVEL: OnceLock<SimdLevel> = OnceLock::new();
    *LEVEL.get_or_init(|| match std::env::var_os(VARIABLE) {
        None => detected(),
        Some(name) => {
            let level: SimdLevel = name
                .to_string_lossy()
                .parse()
                .unwrap_or_else(|e| panic!("{VARIABLE}: {e}"));
            assert!(level.is_supported(), "{VARIABLE}: this machine lacks {level}");
            level
        }
    })
}

fn detected() -> SimdLevel {
    static DETECTED: OnceLock<SimdLevel> = OnceLock::new();
    *DETECTED.get_or_init(detect)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> SimdLevel {
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        SimdLevel::Portable
    } else if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
    {
        SimdLevel::Avx512
    } else {
        SimdLevel::Avx2
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> SimdLevel {
    SimdLevel::Portable
}

/// A token of a level. It proves that the machine has the instructions of the level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Simd(SimdLevel);

/// A kernel that is written once for vectors of any width.
pub(crate) trait Kernel {
    /// The result of the kernel.
    type Output;

    /// Runs the kernel. Implementations are `#[inline(always)]`, so that they compile with the caller's instructions.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `L`.
    unsafe fn run<L: Lanes>(self) -> Self::Output;
}

impl Simd {
    /// Returns the token of [`level`].
    pub(crate) fn current() -> Self {
        Simd(level())
    }

    /// Returns the level.
    pub(crate) fn level(self) -> SimdLevel {
        self.0
    }

    /// Runs `kernel` with the vectors of this level.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,fma")]
            fn avx2<K: Kernel>(kernel: K) -> K::Output {
                // SAFETY: this function is called only on machines with AVX2 and FMA.
                unsafe { kernel.run::<Avx2>() }
            }
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512<K: Kernel>(kernel: K) -> K::Output {
                // SAFETY: this function is called only on machines with these parts of AVX-512.
                unsafe { kernel.run::<Avx512>() }
            }
            match self.0 {
                // SAFETY: a token of this level exists only if the machine supports the level (`level`, `with_level`).
                SimdLevel::Avx512 => return unsafe { avx512(kernel) },
                // SAFETY: as above.
                SimdLevel::Avx2 => return unsafe { avx2(kernel) },
                SimdLevel::Portable => {}
            }
        }
        // SAFETY: `Portable` needs no special instructions.
        unsafe { kernel.run::<Portable>() }
    }

    /// Runs `f`, compiled for this level. For plain loops that the compiler vectorizes. The loop must be in the closure or in an
    /// `#[inline(always)]` function that it calls.
    #[inline]
    pub(crate) fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        struct Plain<F>(F);
        impl<R, F: FnOnce() -> R> Kernel for Plain<F> {
            type Output = R;
            #[inline(always)]
            unsafe fn run<L: Lanes>(self) -> R {
                (self.0)()
            }
        }
        self.run(Plain(f))
    }
}

/// Prefetches cache lines that will soon be written.
#[inline]
pub(crate) fn prefetch(lines: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in lines.chunks(16) {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: a prefetch is a hint. It reads nothing and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = lines;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for level in SimdLevel::ALL {
            assert_eq!(level.name().parse(), Ok(level));
        }
        let error = "sse9".parse::<SimdLevel>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown SIMD level `sse9`: expected portable, avx2 or avx512"
        );
    }

    #[test]
    fn forcing_is_scoped_to_the_closure_and_the_thread() {
        let before = level();
        with_level(SimdLevel::Portable, || {
            assert_eq!(level(), SimdLevel::Portable);
            std::thread::scope(|s| s.spawn(|| assert_eq!(level(), before)).join().unwrap());
        });
        assert_eq!(level(), before);
        let _ = std::panic::catch_unwind(|| with_level(SimdLevel::Portable, || panic!("on purpose")));
        assert_eq!(level(), before);
    }
}
