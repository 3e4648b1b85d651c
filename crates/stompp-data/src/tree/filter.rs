//! Of the files of a part the images, and what is not looked at, told by count and reason.

use crate::DataError;
use crate::codec::{extensions, is_image};
use crate::names::{file_name, is_tool_file, tool_folder};
use crate::store::{BROKEN, Member, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where Tiny ImageNet has the labels of its flat `val`.
const ANNOTATIONS: &str = "val_annotations.txt";

/// Names that one line lists.
const MOST_NAMED: usize = 5;

/// What a part consists of; all names are those below it.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) files: Vec<(String, Member)>,
    pub(super) folders: BTreeSet<String>,
    /// What is neither file, folder nor link.
    pub(super) others: Vec<String>,
    /// Links to nothing, and where they should lead to.
    pub(super) dangling: BTreeMap<String, String>,
}

/// The images of one part, and where they are.
#[derive(Debug)]
pub(super) struct FoundImages {
    /// `train` or `val`.
    pub(super) name: &'static str,
    pub(super) store: Arc<Store>,
    /// Name below the part, such as `n01440764/a.JPEG`, and the file.
    pub(super) images: Vec<(String, Member)>,
    /// The list of labels that lies beside the images of Tiny ImageNet.
    pub(super) annotations: Option<Member>,
    /// What is not looked at, and why.
    pub(super) ignored: Vec<String>,
    /// What is wrong, so that images may be missing.
    pub(super) faults: Vec<String>,
}

/// Sifts the files of the part called `name`; a class of which nothing is an image is an error, not a class less.
pub(super) fn filter_images(
    store: &Arc<Store>,
    name: &'static str,
    contents: Contents,
) -> Result<FoundImages, DataError> {
    let mut found = FoundImages {
        name,
        store: Arc::clone(store),
        images: Vec::new(),
        annotations: None,
        ignored: Vec::new(),
        faults: Vec::new(),
    };
    let mut tools: BTreeSet<String> = BTreeSet::new();
    let (mut hidden, mut no_images) = (Vec::new(), Vec::new());
    for folder in &contents.folders {
        tools.extend(tool_folder(&format!("{folder}/")).map(str::to_owned));
    }
    for (file, member) in contents.files {
        if let Some(folder) = tool_folder(&file) {
            tools.insert(folder.to_owned());
        } else if is_tool_file(file_name(&file)) {
            hidden.push(file);
        } else if is_image(&file) {
            found.images.push((file, member));
        } else if member.place == BROKEN && (extension(&file).is_empty() || class(&file).is_none()) {
            // It may be the folder of a class.
            let target = contents.dangling.get(&file).map_or("nothing", String::as_str);
            found
                .faults
                .push(format!("{name}/{file} is a link to {target}, which is not there"));
        } else if name == "val" && file_name(&file) == ANNOTATIONS && class(&file).is_none() {
            found.annotations = Some(member);
        } else {
            no_images.push(file);
        }
    }
    let tree = |problem| DataError::Tree {
        path: store.path().to_owned(),
        problem,
    };
    if found.images.is_empty() {
        return Err(tree(format!("has no images ({}) for {name}", extensions())));
    }
    let with_images: BTreeSet<&str> = found.images.iter().filter_map(|(file, _)| class(file)).collect();
    let without = no_images
        .iter()
        .find_map(|file| class(file).filter(|class| !with_images.contains(class)));
    if let Some(class) = without {
        let problem = format!("class {class} of {name} has files, but no images ({})", extensions());
        return Err(tree(problem));
    }
    // A folder with nothing in it; in a flat part, folders are no classes.
    let all_classes = contents.folders.iter().map(|folder| class(folder).unwrap_or(folder));
    let empty: BTreeSet<&str> = all_classes
        .filter(|class| !with_images.is_empty() && !with_images.contains(class) && !tools.contains(*class))
        .collect();
    let lines = [
        describe_extensions(&no_images),
        line("folders of tools, or hidden ones", tools.iter().map(String::as_str)),
        line("hidden files, or files of tools", hidden.iter().map(String::as_str)),
        line("folders without an image, which are no classes", empty.into_iter()),
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

/// The class's folder in the name of an image.
pub(super) fn class(name: &str) -> Option<&str> {
    name.split_once('/').map(|(folder, _)| folder)
}

/// The ending of a file's name in small letters; empty if it has none.
fn extension(name: &str) -> String {
    file_name(name)
        .rsplit_once('.')
        .map_or(String::new(), |(_, ending)| ending.to_lowercase())
}

/// How many files there are of which ending.
fn describe_extensions(files: &[String]) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for file in files {
        *counts.entry(extension(file)).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(ending, count)| match ending.as_str() {
            "" => format!("{count} without an ending"),
            ending => format!("{count} .{ending}"),
        })
        .collect();
    let first = files.first()?;
    Some(format!(
        "{} files that are no images that can be read: {} (the first: {first})",
        files.len(),
        counts.join(", ")
    ))
}

/// How many there are, and what the first are called.
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
