//! The format of lists in older run directories, `images.json`: one JSON of about 85 bytes an image. It is only read.

use super::{Index, Origin, Part};
use crate::store::{FileStamp, Members};
use serde::Deserialize;
use std::io::Read;
use std::path::PathBuf;

const VERSION: u32 = 2;

#[derive(Deserialize)]
struct OldIndex {
    version: u32,
    path: PathBuf,
    labels: Option<PathBuf>,
    stamps: Vec<FileStamp>,
    classes: Vec<String>,
    train: Option<OldPart>,
    val: Option<OldPart>,
    missing: [String; 2],
    faults: Vec<String>,
}

#[derive(Deserialize)]
struct OldPart {
    store: PathBuf,
    members: Vec<OldMember>,
    labels: Vec<u16>,
    ignored: Vec<String>,
}

#[derive(Deserialize)]
struct OldMember {
    name: String,
    bytes: u64,
    place: u64,
}

/// Reads a list. `None` if it is damaged or of another version.
pub(super) fn read(mut input: impl Read) -> Option<Index> {
    let mut text = Vec::new();
    input.read_to_end(&mut text).ok()?;
    let old: OldIndex = serde_json::from_slice(&text).ok()?;
    (old.version == VERSION).then(|| Index {
        train: old.train.map(Part::from),
        val: old.val.map(Part::from),
        origin: Origin {
            path: old.path,
            labels: old.labels,
            stamps: old.stamps,
            classes: old.classes,
            missing: old.missing,
            faults: old.faults,
        },
    })
}

impl From<OldPart> for Part {
    fn from(old: OldPart) -> Self {
        let mut members = Members::default();
        for OldMember { name, bytes, place } in &old.members {
            members.push_named(&[name], *bytes, *place);
        }
        Self {
            store: old.store,
            ignored: old.ignored,
            members,
            labels: old.labels,
        }
    }
}
