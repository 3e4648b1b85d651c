//! The network that tests train: some milliseconds a step.

use stompp_train::RunConfig;

/// ResNet-8 of width 4 on `train` synthetic images of 8x8 pixels, tested on `test`, in batches of `batch_size`.
pub(crate) fn small(train: usize, test: usize, batch_size: usize) -> RunConfig {
    let mut config = RunConfig::default();
    config.data.image_size = 8;
    config.data.train_limit = Some(train);
    config.data.test_limit = Some(test);
    config.network.model = "resnet8".parse().expect("a network");
    config.network.width = Some(4);
    config.training.batch_size = batch_size;
    config
}
