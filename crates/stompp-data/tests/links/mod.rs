//! Archives with links.

use crate::tree::Files;
use std::io::{Cursor, Write};

/// A link in an archive.
pub(crate) enum Link<'a> {
    Hard(&'a str),
    Symbolic(&'a str),
}

/// A tar of these files and links, in the format of GNU tar.
pub(crate) fn tar_with_links(files: &Files, links: &[(&str, Link<'_>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    for (name, link) in links {
        let (kind, target) = match link {
            Link::Hard(target) => (tar::EntryType::Link, target),
            Link::Symbolic(target) => (tar::EntryType::Symlink, target),
        };
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        tar.append_link(&mut header, name, target).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A zip of these files and symbolic links, in the format of `zip -y`.
pub(crate) fn zip_with_links(files: &Files, links: &[(&str, &str)]) -> Vec<u8> {
    let options = zip::write::SimpleFileOptions::default();
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name.as_str(), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    for (name, target) in links {
        zip.add_symlink(*name, *target, options).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
