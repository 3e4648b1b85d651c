//! The format of a saved list: gzip of one line of JSON for the whole, then a line for each image, `[NAME,BYTES,PLACE,LABEL]`. It takes
//! less than 20 bytes an image. Neither writing nor reading needs the text in memory.

use super::{Index, Origin, Part};
use crate::store::{Member, Members};
use crate::tree::ImageFileSet;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;

const VERSION: u32 = 3;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    origin: Origin,
    train: Option<PartHead>,
    val: Option<PartHead>,
}

/// One part. Its images follow, first those of `train`.
#[derive(Serialize, Deserialize)]
struct PartHead {
    store: PathBuf,
    ignored: Vec<String>,
    images: usize,
}

pub(super) fn to_bytes(origin: Origin, sets: [Option<&ImageFileSet>; 2]) -> Vec<u8> {
    let [train, val] = sets.map(|set| {
        set.map(|set| PartHead {
            store: set.store.path().to_owned(),
            ignored: set.ignored.to_vec(),
            images: set.len(),
        })
    });
    let head = Head {
        version: VERSION,
        origin,
        train,
        val,
    };
    let mut lines = Lines {
        output: GzEncoder::new(Vec::new(), Compression::fast()),
        line: Vec::new(),
    };
    lines.write(&head);
    for set in sets.into_iter().flatten() {
        for (Member { name, bytes, place }, label) in set.members.iter().zip(&set.labels) {
            lines.write(&(name, bytes, place, label));
        }
    }
    lines.output.finish().expect("memory takes every byte")
}

/// Lines of JSON, compressed.
struct Lines {
    output: GzEncoder<Vec<u8>>,
    line: Vec<u8>,
}

impl Lines {
    fn write(&mut self, value: &impl Serialize) {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value).expect("paths that were listed are UTF-8");
        self.line.push(b'\n');
        self.output.write_all(&self.line).expect("memory takes every byte");
    }
}

/// Reads a list. `None` if it is damaged or of another version.
pub(super) fn read(input: impl Read) -> Option<Index> {
    let mut input = BufReader::new(GzDecoder::new(input));
    let mut line = String::new();
    let head: Head = serde_json::from_str(next_line(&mut input, &mut line)?).ok()?;
    if head.version != VERSION {
        return None;
    }
    let mut part = |head: Option<PartHead>| {
        let Some(head) = head else { return Some(None) };
        // No memory is reserved for `head.images`: the number may be wrong.
        let (mut members, mut labels) = (Members::default(), Vec::new());
        for _ in 0..head.images {
            let image = next_line(&mut input, &mut line)?;
            let (name, bytes, place, label): (String, _, _, _) = serde_json::from_str(image).ok()?;
            members.push_named(&[&name], bytes, place);
            labels.push(label);
        }
        Some(Some(Part {
            store: head.store,
            ignored: head.ignored,
            members,
            labels,
        }))
    };
    let index = Index {
        train: part(head.train)?,
        val: part(head.val)?,
        origin: head.origin,
    };
    // The checksum of a gzip is verified at its end.
    (input.read_line(&mut line).ok()? == 0).then_some(index)
}

fn next_line<'a>(input: &mut impl BufRead, line: &'a mut String) -> Option<&'a str> {
    line.clear();
    input.read_line(line).ok()?;
    line.strip_suffix('\n')
}
