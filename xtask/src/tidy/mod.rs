//! `tidy`: the rules of this repository that no compiler checks.
//!
//! - Every module starts by saying what it is.
//! - A crate depends only on the crates that the table allows ([`dependencies`]).
//! - A file is short enough to be read in one go, and holds no stub.
//! - No library or program prints with a macro that panics when the reader has gone away.
//! - Code and documents use plain words ([`words`]).

mod dependencies;
mod sources;
mod words;

pub(crate) use sources::rust_files;

use crate::workspace;
use anyhow::{Result, bail};
use cargo_metadata::MetadataCommand;
use std::path::Path;

/// The package of the examples.
const EXAMPLES: &str = "stompp-examples";

/// Folders that are not part of a package, with source files and documents.
const OTHER_FOLDERS: [&str; 2] = ["docs", "fuzz"];

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
        for file in sources::rust_files(folder.as_std_path())? {
            files += 1;
            let text = std::fs::read_to_string(&file)?;
            let mut found: Vec<String> = sources::violations(&text).collect();
            if file.starts_with(folder.as_std_path().join("src")) && package.name.as_str() != EXAMPLES {
                // Tests, benchmarks and build scripts may print, and so may programs to copy from.
                found.extend(sources::prints(&text));
            }
            violations.extend(found.iter().map(|found| format!("{}: {found}", shown(&file))));
        }
        violations.extend(metaphors(folder.as_std_path())?);
    }
    for folder in OTHER_FOLDERS {
        violations.extend(metaphors(&root.join(folder))?);
    }
    violations.extend(file_metaphors(&root.join("README.md"))?);
    if violations.is_empty() {
        stompp_console::outln!("tidy: {files} files in {} crates", metadata.packages.len());
        return Ok(());
    }
    bail!("rules that are broken:\n{}", violations.join("\n"))
}

/// Metaphors in all source files and documents under `folder`.
fn metaphors(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in sources::files(folder, &["rs", "md"])? {
        found.extend(file_metaphors(&file)?);
    }
    Ok(found)
}

/// Metaphors in one file; none if it does not exist.
fn file_metaphors(file: &Path) -> Result<Vec<String>> {
    if !file.exists() || file.ends_with(words::FILE) {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(file)?;
    let found = words::violations(&text).map(|found| format!("{}: {found}", shown(file)));
    Ok(found.collect())
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
