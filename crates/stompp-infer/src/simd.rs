//! Which vector instructions a network is prepared for.

use core::fmt;

/// A set of vector instructions. Ordered: a machine that has one level has all lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SimdLevel {
    /// Plain Rust: bits are counted word by word, weights are read from the file's bytes.
    Portable,
    /// AVX2 and FMA: bits are counted by table lookups.
    Avx2,
    /// AVX-512 F, BW, DQ, VL and VPOPCNTDQ besides.
    Avx512,
}

impl SimdLevel {
    /// All levels, lowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The name that the environment variable `STOMPP_SIMD` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The best level of this machine.
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

    /// Whether this machine has the level.
    pub fn is_supported(self) -> bool {
        self <= Self::detect()
    }

    /// The level that `STOMPP_SIMD` names, else the best one.
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
