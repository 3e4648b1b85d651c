//! Resolves the links inside an archive: hard and symbolic links to files and folders.

use super::{BROKEN, Listing, Members};
use crate::DataError;
use crate::names::parent;
use std::collections::BTreeMap;
use std::path::Path;

/// An entry of an archive. Names have `/` between their parts and no `.` or `..`.
#[derive(Debug)]
pub(super) enum Entry {
    File {
        bytes: u64,
        place: u64,
    },
    Folder,
    /// Link to a path relative to the folder of the link.
    Symbolic(String),
    /// Link to a path relative to the root of the archive.
    Hard(String),
    /// Anything else, such as a device or a pipe.
    Other,
}

/// The entries of an archive.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// The files. Most archives have nothing else that takes memory.
    pub(super) files: Members,
    /// Everything else.
    pub(super) others: Vec<(String, Entry)>,
}

impl Entries {
    pub(super) fn push(&mut self, name: String, entry: Entry) {
        match entry {
            Entry::File { bytes, place } => self.files.push_named(&[&name], bytes, place),
            other => self.others.push((name, other)),
        }
    }
}

/// A longer chain of links counts as a cycle, as in Linux.
const MOST_HOPS: u32 = 40;

/// Limit of the number of files, so that links to folders of links cannot exhaust the memory. No data set has as many.
const MOST_MEMBERS: usize = 1 << 24;

/// Lists the files of an archive. The target of a link is also listed under the link's name.
///
/// # Errors
/// Returns [`DataError::Tree`] for a link that leads to a folder above itself.
pub(super) fn listing(path: &Path, entries: Entries) -> Result<Listing, DataError> {
    let Entries { files, others } = entries;
    let mut listing = Listing::default();
    let is_link = |entry: &Entry| matches!(entry, Entry::Symbolic(_) | Entry::Hard(_));
    if !others.iter().any(|(_, entry)| is_link(entry)) {
        listing.members = files;
        for (name, entry) in others {
            add_plain(&mut listing, name, &entry);
        }
        return Ok(listing);
    }
    let mut nodes = BTreeMap::new();
    let files = files.iter().map(|file| {
        let (bytes, place) = (file.bytes, file.place);
        (file.name.to_owned(), Entry::File { bytes, place })
    });
    for (name, entry) in files.chain(others) {
        // A folder may occur twice; any other duplicate is an error. Without links, `Store::listing` finds duplicates.
        match (nodes.get(&name), &entry) {
            (None, _) | (Some(Entry::Folder), _) => drop(nodes.insert(name, entry)),
            (Some(_), Entry::Folder) => {}
            (Some(_), _) => {
                return Err(DataError::DuplicateFile {
                    container: path.to_owned(),
                    file: name,
                });
            }
        }
    }
    let tree = Tree { path, nodes: &nodes };
    for (name, entry) in &nodes {
        tree.add(&mut listing, name.clone(), name, entry, &mut Vec::new())?;
    }
    Ok(listing)
}

fn add_plain(listing: &mut Listing, name: String, entry: &Entry) {
    match *entry {
        Entry::File { bytes, place } => listing.members.push_named(&[&name], bytes, place),
        Entry::Folder => drop(listing.folders.insert(name)),
        _ => listing.others.push(name),
    }
}

/// The target of a link.
enum Target<'a> {
    File { bytes: u64, place: u64 },
    Folder(String),
    Nothing(&'a str),
}

struct Tree<'a> {
    path: &'a Path,
    nodes: &'a BTreeMap<String, Entry>,
}

impl<'a> Tree<'a> {
    /// Adds `entry`, whose path is `at`, under `name`. `open` are the targets of the folder links being followed.
    fn add(
        &self,
        listing: &mut Listing,
        name: String,
        at: &str,
        entry: &'a Entry,
        open: &mut Vec<String>,
    ) -> Result<(), DataError> {
        let target = match entry {
            Entry::Symbolic(target) => self.follow(parent(at), target),
            Entry::Hard(target) => self.follow("", target),
            plain => {
                add_plain(listing, name, plain);
                return Ok(());
            }
        };
        if listing.members.len() > MOST_MEMBERS {
            return Err(self.refused(format!("its links expand to more than {MOST_MEMBERS} files")));
        }
        match target {
            Target::File { bytes, place } => listing.members.push_named(&[&name], bytes, place),
            Target::Nothing(target) => {
                listing.members.push_named(&[&name], 0, BROKEN);
                listing.dangling.insert(name, target.to_owned());
            }
            Target::Folder(folder) => {
                let above = |inner: &str| inner == folder || inside(inner, &folder).is_some();
                if above(parent(at)) || open.iter().any(|open| above(open)) {
                    return Err(self.refused(format!(
                        "{name} is a link to a folder that contains it, or that leads back to it"
                    )));
                }
                listing.folders.insert(name.clone());
                let prefix = if folder.is_empty() {
                    folder.clone()
                } else {
                    format!("{folder}/")
                };
                open.push(folder);
                let below = self.nodes.range(prefix.clone()..);
                for (at, entry) in below.take_while(|(at, _)| at.starts_with(&prefix)) {
                    self.add(listing, format!("{name}/{}", &at[prefix.len()..]), at, entry, open)?;
                }
                open.pop();
            }
        }
        Ok(())
    }

    /// Resolves the link to `target` in `folder`.
    fn follow(&self, folder: &str, target: &'a str) -> Target<'a> {
        let mut hops = 0;
        self.resolve(folder, target, &mut hops)
            .unwrap_or(Target::Nothing(target))
    }

    /// Resolves `path` relative to `folder`. `None` if it does not exist, is outside of the archive, or needs too many links.
    fn resolve(&self, folder: &str, path: &'a str, hops: &mut u32) -> Option<Target<'a>> {
        *hops += 1;
        if *hops > MOST_HOPS || path.starts_with('/') {
            return None;
        }
        let mut at = Target::Folder(folder.to_owned());
        for part in path.split('/') {
            let Target::Folder(here) = &at else { return None };
            match part {
                "" | "." => continue,
                ".." if here.is_empty() => return None,
                ".." => {
                    at = Target::Folder(parent(here).to_owned());
                    continue;
                }
                _ => {}
            }
            let next = if here.is_empty() {
                part.to_owned()
            } else {
                format!("{here}/{part}")
            };
            at = match self.nodes.get(&next) {
                Some(&Entry::File { bytes, place }) => Target::File { bytes, place },
                Some(Entry::Symbolic(target)) => self.resolve(here, target, hops)?,
                Some(Entry::Hard(target)) => self.resolve("", target, hops)?,
                Some(Entry::Folder) => Target::Folder(next),
                Some(Entry::Other) => return None,
                // Not all archives list their folders.
                None => {
                    let prefix = format!("{next}/");
                    let (first, _) = self.nodes.range(prefix.clone()..).next()?;
                    first.starts_with(&prefix).then_some(Target::Folder(next))?
                }
            };
        }
        Some(at)
    }

    fn refused(&self, problem: String) -> DataError {
        DataError::Tree {
            path: self.path.to_owned(),
            problem,
        }
    }
}

/// The path of `name` relative to `folder`, if it is inside.
fn inside<'a>(name: &'a str, folder: &str) -> Option<&'a str> {
    match folder {
        "" => Some(name),
        folder => name.strip_prefix(folder)?.strip_prefix('/'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(place: u64) -> Entry {
        Entry::File { bytes: 1, place }
    }

    fn symbolic(target: &str) -> Entry {
        Entry::Symbolic(target.to_owned())
    }

    fn listed(list: Vec<(&str, Entry)>) -> Result<Vec<(String, u64)>, String> {
        let mut entries = Entries::default();
        for (name, entry) in list {
            entries.push(name.to_owned(), entry);
        }
        let listing = listing(Path::new("x.tar"), entries).map_err(|error| error.to_string())?;
        let mut members: Vec<_> = listing
            .members
            .iter()
            .map(|member| (member.name.to_owned(), member.place))
            .collect();
        members.sort();
        Ok(members)
    }

    fn names(expected: &[(&str, u64)]) -> Result<Vec<(String, u64)>, String> {
        Ok(expected.iter().map(|&(name, place)| (name.to_owned(), place)).collect())
    }

    #[test]
    fn links_to_files_and_folders_are_followed() {
        let found = listed(vec![
            ("a/1", file(1)),
            ("a/2", Entry::Hard("a/1".to_owned())),
            ("a/3", symbolic("../b/9")),
            ("a/4", symbolic("3")),
            ("b/9", file(9)),
            ("b/up", symbolic("../c/")),
            ("c/x", file(7)),
            ("d", symbolic("./b")),
            ("e", symbolic("d/up/x")),
        ]);
        let expected = [
            ("a/1", 1),
            ("a/2", 1),
            ("a/3", 9),
            ("a/4", 9),
            ("b/9", 9),
            ("b/up/x", 7),
            ("c/x", 7),
            ("d/9", 9),
            ("d/up/x", 7),
            ("e", 7),
        ];
        assert_eq!(found, names(&expected));
    }

    #[test]
    fn what_leads_nowhere_or_out_is_kept_as_broken() {
        let found = listed(vec![
            ("a/1", symbolic("2")),
            ("a/3", symbolic("/etc/passwd")),
            ("a/4", symbolic("../../x")),
            ("a/5", symbolic("5")),
            ("a/6", symbolic("7")),
            ("a/7", symbolic("6")),
        ]);
        let all = ["a/1", "a/3", "a/4", "a/5", "a/6", "a/7"].map(|name| (name, BROKEN));
        assert_eq!(found, names(&all));
    }

    #[test]
    fn folders_that_hold_themselves_are_refused() {
        for target in [".", "..", "../a", "../../t", "b/.."] {
            let found = listed(vec![("t/a/b/1", file(1)), ("t/a/loop", symbolic(target))]);
            assert!(
                found
                    .clone()
                    .unwrap_err()
                    .contains("loop is a link to a folder that contains it"),
                "{target}: {found:?}"
            );
        }
        let found = listed(vec![("a/b", symbolic("../c")), ("c/d", symbolic("../a"))]);
        assert!(found.unwrap_err().contains("leads back to it"));
    }
}
