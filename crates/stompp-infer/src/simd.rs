//! The sets of vector instructions that a network can use.

use core::fmt;

/// A set of vector instructions. A machine that supports a level supports all lower levels, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SimdLevel {
    /// Plain Rust. Counts bits word by word and reads weights from the bytes of the file.
    Portable,
    /// AVX2 and FMA. Counts bits by table lookups.
    Avx2,
    /// AVX2, FMA and AVX-512 F, BW, DQ, VL and VPOPCNTDQ.
    Avx512,
}

impl SimdLevel {
    /// All levels, lowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// Returns the name of the level, as in the environment variable `STOMPP_SIMD`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Returns the highest level that this machine supports.
    pub fn detect() -> Self {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vpopcntdq");
            return if avx512 { Self::Avx512 } else { Self::Avx2 };
        }
        Self::Portable
    }

    /// Whether this machine supports the level.
    pub fn is_supported(self) -> bool {
        self <= Self::detect()
    }

    /// Returns the level in `STOMPP_SIMD`, or the highest supported level if the variable is not set.
    #[cfg(feature = "std")]
    pub(crate) fn from_environment() -> Result<Self, crate::OpenError> {
        use crate::OpenError;
        use alloc::{format, string::String};

        let Some(name) = std::env::var_os("STOMPP_SIMD") else {
            return Ok(Self::detect());
        };
        let name = name.to_string_lossy();
        let level = Self::ALL.into_iter().find(|level| level.name() == name);
        let level = level
            .ok_or_else(|| OpenError::Level(format!("unknown level `{name}`: expected portable, avx2 or avx512")))?;
        if level.is_supported() {
            Ok(level)
        } else {
            Err(OpenError::Level(String::from("this machine lacks ") + &name))
        }
    }
}

impl fmt::Display for SimdLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
