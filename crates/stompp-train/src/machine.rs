//! The code and the machine that made a result.

use serde::{Deserialize, Serialize};

/// The code that made a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeVersion {
    /// Version of this crate.
    pub version: String,
    /// The commit that was built, with `-dirty` at the end if the working tree differed. The version if the commit is unknown.
    pub revision: String,
    /// The compiler.
    pub rustc: String,
}

impl CodeVersion {
    /// The code that is running.
    pub fn current() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: env!("STOMPP_REVISION").to_owned(),
            rustc: env!("STOMPP_RUSTC").to_owned(),
        }
    }
}

/// The machine that made a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineInfo {
    /// Name of the CPU; "unknown" with the architecture if the system does not provide it.
    pub cpu: String,
    /// Number of processors that the process may use.
    pub cores: usize,
    /// Number of threads of the rayon pool.
    pub threads: usize,
    /// Operating system and its version.
    pub os: String,
    /// The GPU with its driver and libraries, if the run used one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
}

impl MachineInfo {
    /// The current machine, with the number of threads of rayon's current pool. `gpu` is `None`.
    pub fn current() -> Self {
        Self {
            cpu: cpu_name().unwrap_or_else(|| format!("unknown {}", std::env::consts::ARCH)),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads: rayon::current_num_threads(),
            os: os_name(),
            gpu: None,
        }
    }
}

/// The CPU name from `/proc/cpuinfo`, which exists only on Linux.
fn cpu_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn os_name() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}", std::env::consts::OS, release.trim())
        .trim_end()
        .to_owned()
}
