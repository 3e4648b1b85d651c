//! SIGINT, SIGTERM and SIGHUP: the first one asks the program to stop, the second one ends it at once.

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};
use std::{
    io,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// The number of the last signal; 0 before the first.
static LAST: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// Installs the handlers and returns a flag that the first signal sets. The second signal exits with 128 + its number. SIGHUP gets no
/// handler if the process was started to ignore it, as by `nohup`.
///
/// # Errors
/// Returns the I/O error if the operating system refuses a handler.
pub fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if signal == SIGHUP && hangup_is_ignored() {
            continue;
        }
        // The order matters: the first signal finds the flag unset and sets it, the second finds it set.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
            .and_then(|_| flag::register_usize(signal, Arc::clone(&LAST), signal as usize))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))?;
    }
    Ok(stop)
}

/// The exit code of a program that a signal stopped: 129, 130 or 143. 143, that of SIGTERM, if another process got the signal.
pub fn exit_code() -> u8 {
    match LAST.load(Ordering::Relaxed) {
        0 => 128 + SIGTERM as u8,
        signal => 128 + signal as u8,
    }
}

/// Whether the process was started to ignore SIGHUP, as by `nohup`. Always `false` on systems other than Linux.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (SIGHUP - 1) & 1 == 1)
}
