//! Tools for data sets: write a synthetic data set as files; check, pack and show the images that a run would read.

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
    PackedImages, Progress,
    check::{DataReport, MinMeanMax, SplitReport},
};

/// Writes the synthetic data set of `config` to `folder`, in CIFAR's binary layout. Creates the folder if it is missing. The images
/// are not shrunk. `dataset = "cifar10"` (or `"cifar100"`) reads them back.
///
/// # Errors
/// Returns [`TrainError::Config`] if the data set is not synthetic or the configuration is invalid, [`TrainError::FileExists`] if a
/// file of the set exists, and [`TrainError::Io`] or [`TrainError::Data`] if the folder or a file cannot be written.
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

/// Reads every image of the configured data set once, and reports on them. The data set may have only training or only test images.
/// `progress` is called with the number of images read so far.
///
/// # Errors
/// Returns [`TrainError::Config`] if the configuration is invalid, and [`TrainError::Data`] if the data set cannot be found or opened.
/// For image files, the report lists unreadable images and damaged archives instead.
pub fn check(config: &DataConfig, progress: impl FnMut(Progress)) -> Result<DataReport, TrainError> {
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

/// Writes the configured image files to the new `.zip` archive `out` with [`ImageTree::pack`], shrunk to a shorter side of
/// `short_side` pixels. `progress` is called with the number of images done so far. Also returns notes about skipped files and
/// problems of the folders.
///
/// # Errors
/// Returns [`TrainError::Config`] if the data set does not consist of image files or the configuration is invalid, and
/// [`TrainError::Data`] if the data set cannot be found or read, or the archive cannot be written.
pub fn pack(
    config: &DataConfig,
    short_side: u32,
    out: &Path,
    progress: impl FnMut(Progress),
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

/// Writes a contact sheet to the new PNG file `out`: the first `count` training images of a run's first epoch, as the network gets
/// them, each with its class.
///
/// # Errors
/// Returns [`TrainError::Config`] if the configuration is invalid, [`TrainError::Data`] if the data set or an image cannot be read, and
/// [`TrainError::Io`] if the file exists or cannot be written.
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

/// Writes a report to the new JSON file `out`.
///
/// # Errors
/// Returns [`TrainError::Io`] if the file exists or cannot be written.
pub fn write_report(report: &DataReport, out: &Path) -> Result<(), TrainError> {
    files::write_new_json(out, report)
}
