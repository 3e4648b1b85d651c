//! Selects the images among the files of a part, and lists ignored files with count and reason.

use crate::DataError;
use crate::codec::{extensions, is_image};
use crate::names::{file_name, is_tool_file, tool_folder};
use crate::store::{BROKEN, Member, Members, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Tiny ImageNet's file of labels for its flat `val`.
const ANNOTATIONS: &str = "val_annotations.txt";

/// Number of names listed in one line.
const MOST_NAMED: usize = 5;

/// The content of a part. Names are relative to it, except those of the files.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The files, with the names that they have in the store.
    pub(super) files: Members,
    /// Bytes of each file's name before the name relative to the part.
    pub(super) prefix: usize,
    pub(super) folders: BTreeSet<String>,
    /// Entries that are neither files, folders nor links.
    pub(super) others: Vec<String>,
    /// Broken links and their targets.
    pub(super) dangling: BTreeMap<String, String>,
}

/// The images of one part, and their store.
#[derive(Debug)]
pub(super) struct FoundImages {
    /// `train` or `val`.
    pub(super) name: &'static str,
    pub(super) store: Arc<Store>,
    pub(super) images: Members,
    /// Bytes of each image's name before the name relative to the part.
    prefix: usize,
    /// The list of labels in Tiny ImageNet's `val`: one file, or none.
    pub(super) annotations: Members,
    /// Ignored files and folders, and the reasons.
    pub(super) ignored: Vec<String>,
    /// Problems because of which images may be missing.
    pub(super) faults: Vec<String>,
}

impl FoundImages {
    /// The names of the images relative to the part, such as `n01440764/a.JPEG`.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.images.iter().map(|image| &image.name[self.prefix..])
    }
}

/// Selects the images of the part called `name`. A class that has files but no images is an error.
pub(super) fn filter_images(
    store: &Arc<Store>,
    name: &'static str,
    contents: Contents,
) -> Result<FoundImages, DataError> {
    let mut found = FoundImages {
        name,
        store: Arc::clone(store),
        images: contents.files,
        prefix: contents.prefix,
        annotations: Members::default(),
        ignored: Vec::new(),
        faults: Vec::new(),
    };
    let mut tools: BTreeSet<String> = BTreeSet::new();
    let (mut hidden, mut no_images) = (Vec::new(), Vec::new());
    for folder in &contents.folders {
        tools.extend(tool_folder(&format!("{folder}/")).map(str::to_owned));
    }
    found.images.retain(|member: Member<'_>| {
        let file = &member.name[contents.prefix..];
        if let Some(folder) = tool_folder(file) {
            tools.insert(folder.to_owned());
        } else if is_tool_file(file_name(file)) {
            hidden.push(file.to_owned());
        } else if is_image(file) {
            return true;
        } else if member.place == BROKEN && (extension(file).is_empty() || class(file).is_none()) {
            // It may be meant as the folder of a class.
            let target = contents.dangling.get(file).map_or("nothing", String::as_str);
            found
                .faults
                .push(format!("{name}/{file} is a link to {target}, which is not there"));
        } else if name == "val" && file_name(file) == ANNOTATIONS && class(file).is_none() {
            found.annotations.push(member);
        } else {
            no_images.push(file.to_owned());
        }
        false
    });
    let tree = |problem| DataError::Tree {
        path: store.path().to_owned(),
        problem,
    };
    if found.images.is_empty() {
        return Err(tree(format!("has no images ({}) for {name}", extensions())));
    }
    let with_images: BTreeSet<&str> = found.names().filter_map(class).collect();
    let without = no_images
        .iter()
        .find_map(|file| class(file).filter(|class| !with_images.contains(class)));
    if let Some(class) = without {
        let problem = format!("class {class} of {name} has files, but no images ({})", extensions());
        return Err(tree(problem));
    }
    // Folders without images. In a flat part, folders are not classes, so they are not listed.
    let all_classes = contents.folders.iter().map(|folder| class(folder).unwrap_or(folder));
    let empty: BTreeSet<&str> = all_classes
        .filter(|class| !with_images.is_empty() && !with_images.contains(class) && !tools.contains(*class))
        .collect();
    let lines = [
        describe_extensions(&no_images),
        line("hidden folders, or folders of tools", tools.iter().map(String::as_str)),
        line("hidden files, or files of tools", hidden.iter().map(String::as_str)),
        line("folders without images, which are not classes", empty.into_iter()),
        line(
            "neither file, folder nor link",
            contents.others.iter().map(String::as_str),
        ),
    ];
    let lines: Vec<String> = lines
        .into_iter()
        .flatten()
        .map(|line| format!("{name}: ignored {line}"))
        .collect();
    found.ignored = lines;
    Ok(found)
}

/// The class folder in the name of an image.
pub(super) fn class(name: &str) -> Option<&str> {
    name.split_once('/').map(|(folder, _)| folder)
}

/// The extension of a file's name in lower case; empty if it has none.
fn extension(name: &str) -> String {
    file_name(name)
        .rsplit_once('.')
        .map_or(String::new(), |(_, ending)| ending.to_lowercase())
}

/// Describes the number of files of each extension.
fn describe_extensions(files: &[String]) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for file in files {
        *counts.entry(extension(file)).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(ending, count)| match ending.as_str() {
            "" => format!("{count} without an extension"),
            ending => format!("{count} .{ending}"),
        })
        .collect();
    let first = files.first()?;
    Some(format!(
        "{} files that are not readable images: {} (the first: {first})",
        files.len(),
        counts.join(", ")
    ))
}

/// Describes how many names there are, and lists the first.
fn line<'a>(what: &str, names: impl ExactSizeIterator<Item = &'a str>) -> Option<String> {
    let count = names.len();
    let first: Vec<&str> = names.take(MOST_NAMED).collect();
    let more = count - first.len();
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    (count > 0).then(|| format!("{count} {what}: {}{more}", first.join(", ")))
}
