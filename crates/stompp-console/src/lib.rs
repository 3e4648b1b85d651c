#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "progress")]
pub mod progress;
pub mod signals;

use std::{
    fmt,
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

/// The first error of writing to standard output.
static FAILED: Mutex<Option<io::ErrorKind>> = Mutex::new(None);

/// Writes a line to standard output, formatted as by `format!`. After the first error, nothing is written; [`stdout_result`] returns
/// this error.
#[macro_export]
macro_rules! outln {
    ($($line:tt)*) => { $crate::out_line(::std::format_args!($($line)*)) };
}

/// Writes a line to standard error, formatted as by `format!`. If that fails, the line is lost.
#[macro_export]
macro_rules! errln {
    ($($line:tt)*) => { $crate::err_line(::std::format_args!($($line)*)) };
}

/// Writes a line to standard output, as [`outln!`](crate::outln).
pub fn out_line(line: fmt::Arguments<'_>) {
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    if failed.is_none() {
        *failed = write_line(&mut io::stdout().lock(), line)
            .err()
            .map(|error| error.kind());
    }
}

/// Writes a line to standard error, as [`errln!`](crate::errln).
pub fn err_line(line: fmt::Arguments<'_>) {
    // There is no other place to report the error.
    let _ = write_line(&mut io::stderr().lock(), line);
}

/// Returns whether standard output received all lines, or its reader has closed the pipe.
///
/// # Errors
/// Returns the first write error, unless it is [`BrokenPipe`](io::ErrorKind::BrokenPipe).
pub fn stdout_result() -> io::Result<()> {
    match *FAILED.lock().unwrap_or_else(PoisonError::into_inner) {
        None | Some(io::ErrorKind::BrokenPipe) => Ok(()),
        Some(kind) => Err(kind.into()),
    }
}

/// Writes the whole line with one call, so that lines of several threads do not mix.
fn write_line(to: &mut impl Write, line: fmt::Arguments<'_>) -> io::Result<()> {
    to.write_all(format!("{line}\n").as_bytes())?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_whole_or_its_error_told() {
        let mut text = Vec::new();
        write_line(&mut text, format_args!("{} is {}", 1 + 1, "two")).unwrap();
        assert_eq!(text, b"2 is two\n");
        let mut full: &mut [u8] = &mut [0; 3];
        assert!(write_line(&mut full, format_args!("four")).is_err());
    }
}
