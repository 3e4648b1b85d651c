//! `tidy`: the house's rules that no compiler checks.
//!
//! - Every module opens by saying what it is.
//! - Rooms know only whom they may know ([`rooms`]).
//! - A file is small enough to be read in one go, and holds no stub.
//! - Nothing prints with a macro that panics when nobody reads.

mod rooms;
mod sources;

pub(crate) use sources::rust_files;

use crate::workspace;
use anyhow::{Result, bail};
use cargo_metadata::MetadataCommand;

/// The package of the examples.
const EXAMPLES: &str = "stompp-examples";

/// Checks everything; an error lists every breach.
pub(crate) fn run() -> Result<()> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace::root().join("Cargo.toml"))
        .no_deps()
        .exec()?;
    let mut breaches = rooms::breaches(&metadata.packages);
    let mut files = 0;
    for package in &metadata.packages {
        let folder = package.manifest_path.parent().expect("a manifest stands in a folder");
        for file in sources::rust_files(folder.as_std_path())? {
            files += 1;
            let shown = file.strip_prefix(workspace::root()).unwrap_or(&file);
            let text = std::fs::read_to_string(&file)?;
            let mut found: Vec<String> = sources::breaches(&text).collect();
            if file.starts_with(folder.as_std_path().join("src")) && package.name.as_str() != EXAMPLES {
                // Tests, benchmarks and build scripts may print, and so may programs to copy from.
                found.extend(sources::prints(&text));
            }
            breaches.extend(found.iter().map(|breach| format!("{}: {breach}", shown.display())));
        }
    }
    if breaches.is_empty() {
        stompp_console::outln!("tidy: {files} files in {} rooms", metadata.packages.len());
        return Ok(());
    }
    bail!("the house is not tidy:\n{}", breaches.join("\n"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        super::run().unwrap();
    }
}
