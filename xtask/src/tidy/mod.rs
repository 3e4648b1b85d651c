//! `tidy`: the rules of this repository that no compiler checks.
//!
//! - Every module starts by saying what it is.
//! - A crate depends only on the crates that the table allows ([`dependencies`]).
//! - A file is short enough to be read in one go, and holds no stub.
//! - No library or program prints with a macro that panics when the reader has gone away.
//! - No closure with vector instructions is passed to a function that may not be inlined.
//! - Code and documents use plain words ([`words`]).

mod dependencies;
mod sources;
mod words;

pub(crate) use sources::rust_files;

use crate::workspace;
use anyhow::{Result, bail};
use cargo_metadata::MetadataCommand;
use std::path::Path;

/// Extensions of source files and documents.
const TEXTS: &[&str] = &["rs", "md"];

/// The package of the examples.
const EXAMPLES: &str = "stompp-examples";

/// What is not part of a package, with source files and documents.
const OTHERS: [&str; 5] = ["docs", "fuzz", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"];

/// Checks everything; an error lists every violation.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()?;
    let mut violations = dependencies::violations(&metadata.packages);
    let mut files = 0;
    for package in &metadata.packages {
        let folder = package.manifest_path.parent().expect("a manifest is in a folder");
        for file in sources::files(folder.as_std_path(), TEXTS)? {
            let text = std::fs::read_to_string(&file)?;
            let mut found = metaphors(&file, &text);
            if file.extension().is_some_and(|extension| extension == "rs") {
                files += 1;
                found.extend(sources::violations(&text));
                // Tests, benchmarks and build scripts may print, and so may programs to copy from.
                if file.starts_with(folder.as_std_path().join("src")) && package.name.as_str() != EXAMPLES {
                    found.extend(sources::prints(&text));
                    found.extend(sources::vector_closures(&text));
                }
            }
            violations.extend(found.iter().map(|found| format!("{}: {found}", shown(&file))));
        }
    }
    for file in OTHERS.iter().map(|other| root.join(other)) {
        let files = if file.is_dir() {
            sources::files(&file, TEXTS)?
        } else {
            vec![file]
        };
        for file in files {
            let found = metaphors(&file, &std::fs::read_to_string(&file)?);
            violations.extend(found.iter().map(|found| format!("{}: {found}", shown(&file))));
        }
    }
    if violations.is_empty() {
        stompp_console::outln!("tidy: {files} files in {} crates", metadata.packages.len());
        return Ok(());
    }
    bail!("rules that are broken:\n{}", violations.join("\n"))
}

/// The metaphors in a file with this text.
fn metaphors(file: &Path, text: &str) -> Vec<String> {
    if file.ends_with(words::FILE) {
        return Vec::new(); // It has the list.
    }
    words::violations(text).collect()
}

/// The path of a file from the root of the workspace.
fn shown(file: &Path) -> String {
    file.strip_prefix(workspace::root())
        .unwrap_or(file)
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_workspace_is_tidy() {
        super::run().unwrap();
    }
}
