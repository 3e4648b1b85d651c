//! Names of the classes of known data sets.

use crate::config::Dataset;

/// The classes of CIFAR-10, in the order of its labels.
const CIFAR10: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// The classes of Fashion-MNIST, in the order of its labels.
const FASHION: [&str; 10] = [
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
];

/// The name of a class of `dataset`; `class N` if it has none. `names` are the class names from the files.
pub(crate) fn class_name(names: Option<&[String]>, dataset: Dataset, label: usize) -> String {
    let own = names.and_then(|names| names.get(label)).map(String::as_str);
    let name = own.or_else(|| known_names(dataset).get(label).copied());
    name.map_or_else(|| format!("class {label}"), str::to_owned)
}

/// The published class names of a data set.
fn known_names(dataset: Dataset) -> &'static [&'static str] {
    match dataset {
        Dataset::Cifar10 => &CIFAR10,
        Dataset::FashionMnist => &FASHION,
        _ => &[],
    }
}
