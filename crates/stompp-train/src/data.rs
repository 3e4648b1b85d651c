//! Work with data sets apart from training: writing a generated one, and checking, packing and showing what a run would read.

use crate::{
    RunConfig, TrainError,
    config::DataConfig,
    files,
    images::{ImageLocation, TrainImages, image_location, synthetic, tree_notes},
};
use std::{fs, path::Path};
use stompp_data::{
    ImageSet, ImageTree, Normalization, OnBadImage, TreeOptions, check,
    cifar::{self, Split},
    contact_sheet, epoch_order, mnist,
};

pub use stompp_data::{
    PackedImages,
    check::{DataReport, MinMeanMax, SplitReport},
};

/// Writes the synthetic set that a run with `config` would generate into `folder` (made if missing), full size, in
/// CIFAR's binary layout: `dataset = "cifar10"` (or `"cifar100"`) then reads it back.
///
/// # Errors
/// If the configured data set is not synthetic or has an impossible size, a file of the set exists already, or a file or the
/// folder cannot be written.
pub fn write_synthetic(config: &DataConfig, folder: &Path) -> Result<(), TrainError> {
    config.check()?;
    let ImageLocation::Synthetic(kind) = image_location(config)? else {
        return Err(config.not_synthetic().into());
    };
    fs::create_dir_all(folder).map_err(|source| files::io_error("create", folder, source))?;
    let names = [Split::Train, Split::Test]
        .into_iter()
        .flat_map(|split| kind.layout().files(split));
    if let Some(path) = names.map(|name| folder.join(name)).find(|path| path.exists()) {
        return Err(TrainError::FileExists { path });
    }
    Ok(synthetic(kind, config).write_to(folder)?)
}

/// Reads every image of the configured data set, all of it, once; training or test images alone are enough. `progress` is told how many
/// are done.
///
/// # Errors
/// If the data set cannot be found; images that cannot be read, and what is wrong with an archive, are in the report instead.
pub fn check(config: &DataConfig, progress: impl FnMut(usize)) -> Result<DataReport, TrainError> {
    config.check()?;
    let sets = match image_location(config)? {
        ImageLocation::Files { path, labels } => {
            let options = TreeOptions {
                labels: labels.as_deref(),
                on_fault: OnBadImage::Skip,
                ..TreeOptions::default()
            };
            let tree = ImageTree::open_with(path, &options)?;
            return Ok(check::check_tree(&tree, progress));
        }
        ImageLocation::Cifar(layout) => cifar::read_available(config.files()?, layout)?,
        ImageLocation::Mnist => mnist::read_available(config.files()?, config.dataset.name())?,
        ImageLocation::Synthetic(kind) => {
            let sets = synthetic(kind, config).generate()?;
            vec![sets.train, sets.test]
        }
    };
    Ok(check::check_sets(&sets.iter().collect::<Vec<&ImageSet>>()))
}

/// Writes the configured image files, shrunk to a shorter side of `short_side` pixels, into the new `.zip` `out`, as
/// [`ImageTree::pack`] does. `progress` is told how many are done. The lines that come with what was written say what of the folders was
/// not looked at.
///
/// # Errors
/// If the data set is not one of image files, cannot be found, or the archive cannot be written.
pub fn pack(
    config: &DataConfig,
    short_side: u32,
    out: &Path,
    progress: impl FnMut(usize),
) -> Result<(PackedImages, Vec<String>), TrainError> {
    config.check()?;
    let ImageLocation::Files { path, labels } = image_location(config)? else {
        return Err(config.no_image_files().into());
    };
    let on_bad = config.on_bad_image;
    let options = TreeOptions {
        labels: labels.as_deref(),
        on_fault: on_bad,
        ..TreeOptions::default()
    };
    let tree = ImageTree::open_with(path, &options)?;
    Ok((tree.pack(short_side, on_bad, out, progress)?, tree_notes(&tree)))
}

/// Writes the first `count` training images of a run's first epoch, as its network would get them, into the new picture `out`
/// (PNG), each with its class.
///
/// # Errors
/// If the data set or an image cannot be read, or the picture cannot be written.
pub fn write_contact_sheet(config: &RunConfig, count: usize, out: &Path) -> Result<(), TrainError> {
    config.check()?;
    let images = TrainImages::load(&config.data)?;
    let normalization = Normalization::new(images.statistics)?;
    let examples = images.train.training_examples(config, &normalization);
    let order = epoch_order(images.train.len(), config.seed, 0);
    let first = &order[..count.min(order.len())];
    let caption = |_, label| images.class_name(label);
    let sheet = contact_sheet(&*examples, &normalization, 0, first, caption)?;
    files::write_new(out, &sheet)
}

/// Writes a report into the new file `out`, as JSON.
///
/// # Errors
/// If the file exists or cannot be written.
pub fn write_report(report: &DataReport, out: &Path) -> Result<(), TrainError> {
    files::write_new_json(out, report)
}
