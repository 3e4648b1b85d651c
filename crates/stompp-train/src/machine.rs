//! What a result was made with: code and machine.

use serde::{Deserialize, Serialize};

/// The code that made a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeVersion {
    /// Version of this crate.
    pub version: String,
    /// The commit that was built, ending in `-dirty` if the working tree differed; the version where there is no commit.
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
    /// The processor's name; "unknown" where the system does not tell.
    pub cpu: String,
    /// Processors that the process may use.
    pub cores: usize,
    /// Threads that compute.
    pub threads: usize,
    /// Operating system and its version.
    pub os: String,
    /// The GPU, its driver and libraries, if it computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
}

impl MachineInfo {
    /// The machine that is running, and the threads of rayon's current pool.
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

/// What Linux says; other systems have no such file.
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
