//! Rules for one source file.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Largest number of lines of a file.
const LONGEST: usize = 600;

/// Macros in place of code that is missing.
const STUBS: [&str; 2] = [concat!("todo", "!"), concat!("unimplemented", "!")];

/// Macros that panic if the reader of their output has closed it.
const PRINTS: [&str; 4] = [
    concat!("print", "!"),
    concat!("println", "!"),
    concat!("eprint", "!"),
    concat!("eprintln", "!"),
];

/// Every Rust file in `folder` and its subfolders, sorted, without build output.
pub(crate) fn rust_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    files(folder, &["rs"])
}

/// Every file in `folder` and its subfolders with one of these extensions, sorted, without build output.
pub(super) fn files(folder: &Path, extensions: &[&str]) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if extension.is_some_and(|extension| extensions.contains(&extension)) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The rules that a file with this text breaks.
pub(super) fn violations(text: &str) -> impl Iterator<Item = String> {
    let opening = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    // A crate may include its README instead.
    let opens = opening.starts_with("//!") || opening.starts_with("#![doc = include_str!");
    let lines = text.lines().count();
    let undocumented = (!opens).then(|| "does not start with `//!`".to_owned());
    let long = (lines > LONGEST).then(|| format!("{lines} lines, more than {LONGEST}"));
    let stubs = STUBS
        .iter()
        .filter(|stub| text.contains(**stub))
        .map(|stub| format!("contains `{stub}`"));
    undocumented.into_iter().chain(long).chain(stubs)
}

/// The uses of macros that can panic while printing, in the text of a library or program. Comments may contain these macros.
pub(super) fn prints(text: &str) -> impl Iterator<Item = String> {
    let code = || text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let found = PRINTS.iter().filter(move |print| {
        code().any(|line| {
            line.match_indices(**print).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|before| before.is_alphanumeric() || before == '_')
            })
        })
    });
    found.map(|print| {
        format!("contains `{print}`, which panics when nobody reads: use `outln!` or `errln!` of stompp-console")
    })
}

/// Functions of the standard library that call a closure and are not always inlined.
const CALLERS: [&str; 3] = [".map(", ".map_or(", "from_fn("];

/// The closures with vector instructions that are passed to one of [`CALLERS`]. If the compiler does not inline that function, each
/// instruction becomes a call through memory: in one build of `stompp-infer` that took twice the time.
pub(super) fn vector_closures(text: &str) -> impl Iterator<Item = String> {
    let callers = CALLERS.iter().filter(|_| text.contains(concat!("arch::", "x86_64")));
    let found = callers.flat_map(move |caller| {
        let arguments = move |at: usize| argument(&text[at + caller.len()..]);
        let calls = text.match_indices(caller).map(move |(at, _)| (at, arguments(at)));
        calls.filter(|(_, argument)| {
            ["_mm_", "_mm256_", "_mm512_"]
                .iter()
                .any(|start| argument.contains(start))
        })
    });
    found.map(|(at, _)| {
        let line = 1 + text[..at].matches('\n').count();
        format!("line {line} passes vector instructions to a function that may not be inlined: use a loop")
    })
}

/// The text up to the parenthesis that closes the one before it.
fn argument(text: &str) -> &str {
    let mut open = 1;
    let end = text.find(|c| {
        open += i32::from(c == '(') - i32::from(c == ')');
        open == 0
    });
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        violations(text).collect()
    }

    #[test]
    fn a_documented_small_file_is_clean() {
        assert_eq!(found("\n//! What it is.\nfn f() {}\n"), [""; 0]);
        assert_eq!(found("#![doc = include_str!(\"../README.md\")]\n"), [""; 0]);
    }

    #[test]
    fn each_rule_is_checked() {
        assert_eq!(found("fn f() {}\n//! late"), ["does not start with `//!`"]);
        assert_eq!(found(""), ["does not start with `//!`"]);
        assert_eq!(found(&"//! x\n".repeat(601)), ["601 lines, more than 600"]);
        assert_eq!(found(&"//! x\n".repeat(600)), [""; 0]);
        for stub in STUBS {
            assert_eq!(
                found(&format!("//! x\nfn f() {{ {stub}() }}")),
                [format!("contains `{stub}`")]
            );
        }
    }

    #[test]
    fn what_can_panic_when_nobody_reads_is_found() {
        for print in PRINTS {
            let text = format!("//! x\nfn f() {{ std::{print}(\"y\") }}");
            let found: Vec<String> = prints(&text).collect();
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("contains `{print}`")), "{found:?}");
            assert_eq!(prints(&format!("    // {print}(\"y\")")).count(), 0);
        }
        assert_eq!(prints("//! x\nfn f() { outln!(\"y\"); errln!(\"z\") }").count(), 0);
    }

    #[test]
    fn vector_instructions_in_closures_are_found() {
        let lines = |text: &str| {
            let text = format!("{text}\nuse core::{};", concat!("arch::", "x86_64"));
            vector_closures(&text).collect::<Vec<_>>()
        };
        let one = lines("//! x\nlet [a, b] = [0, 1].map(\n  |k| unsafe { _mm256_loadu_ps(p.add(k)) },\n);");
        assert!(matches!(&one[..], [one] if one.starts_with("line 2 ")), "{one:?}");
        assert_eq!(
            lines("let v: [_; 2] = std::array::from_fn(|k| _mm512_setzero_ps());").len(),
            1
        );
        assert_eq!(
            lines("let n = x.map(|x| (x + 1)); let v = _mm256_setzero_ps();"),
            [""; 0]
        );
    }

    #[test]
    fn files_are_found_in_subfolders_and_build_output_is_not() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["b.rs", "sub/a.rs", "target/c.rs", "sub/notes.md"] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let expected = ["b.rs", "sub/a.rs"].map(|file| folder.path().join(file));
        assert_eq!(rust_files(folder.path()).unwrap(), expected);
        assert_eq!(
            files(folder.path(), &["md"]).unwrap(),
            [folder.path().join("sub/notes.md")]
        );
        assert!(files(&folder.path().join("none"), &["md"]).is_err());
    }
}
