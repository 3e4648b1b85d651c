//! Runs the command and looks at what it said.

use std::process::{Command, Output};

pub(crate) fn stompp(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stompp"))
        .args(arguments)
        .output()
        .unwrap()
}

pub(crate) fn stdout(output: &Output) -> &str {
    assert!(output.status.success(), "{}", stderr(output));
    str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

/// Asserts that the command failed with `code` and one message that says all of `parts`.
pub(crate) fn assert_fails(output: &Output, code: i32, parts: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(output.stdout.is_empty(), "a failure prints no result");
    assert!(
        message.starts_with("error: ") && !message.contains("panicked"),
        "{message}"
    );
    for part in parts {
        assert!(message.contains(part), "{message:?} should say {part:?}");
    }
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
