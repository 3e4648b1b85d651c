//! What the options of a training recipe do to the first step, read from its checkpoint.

mod small;

use safetensors::SafeTensors;
use small::small;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering},
};
use stompp_train::{
    Callback, Checkpointing, RunConfig, Session, TrainError,
    callback::StepReport,
    config::{OptimizerName, Time},
};

type Tensors = BTreeMap<String, Vec<f32>>;

/// Stops a run after its first step.
struct StopAfterOne(Arc<std::sync::atomic::AtomicBool>);

impl Callback for StopAfterOne {
    fn on_step(&mut self, _: &StepReport) -> Result<(), TrainError> {
        self.0.store(true, Ordering::Relaxed);
        Ok(())
    }
}

fn tensors(checkpoint: &Path) -> Tensors {
    let bytes = fs::read(checkpoint).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |data: &[u8]| {
        data.as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect()
    };
    file.iter()
        .filter(|(_, view)| view.dtype() == safetensors::Dtype::F32)
        .map(|(name, view)| (name.to_owned(), floats(view.data())))
        .collect()
}

/// Everything before the first step, and after it.
fn first_step(change: impl FnOnce(&mut RunConfig)) -> (Tensors, Tensors) {
    let mut config = small(50, 20, 10);
    config.training.duration = Time::Steps(8);
    change(&mut config);
    let folder = tempfile::tempdir().unwrap();
    let session = Session {
        checkpoints: Some(Checkpointing::default()),
        ..Session::default()
    };
    let mut stop = StopAfterOne(Arc::clone(&session.stop));
    let error = session.train(&config, folder.path(), &mut [&mut stop]).unwrap_err();
    assert!(matches!(error, TrainError::Stopped { step: 1 }), "{error}");
    let at = |step: u64| tensors(&folder.path().join(format!("checkpoints/step-{step:013}.safetensors")));
    (at(0), at(1))
}

/// The velocities after the first step, which are its gradients with their penalty, by parameter.
fn velocities(tensors: &Tensors) -> impl Iterator<Item = (&str, &[f32])> {
    let velocities = tensors.iter();
    velocities.filter_map(|(name, values)| Some((name.strip_prefix("stompp.velocity.")?, &values[..])))
}

fn is_latent(name: &str) -> bool {
    name.starts_with("layer") && name.contains(".conv") && name.ends_with(".weight")
}

#[test]
fn the_first_step_of_a_warm_up_has_its_share_of_the_learning_rate() {
    let (_, plain) = first_step(|config| config.training.learning_rate = 0.025);
    let (_, warm) = first_step(|config| {
        config.training.learning_rate = 0.1;
        config.training.learning_rate_warm_up = Time::Steps(4);
    });
    assert_eq!(plain, warm);
    let (_, full) = first_step(|config| config.training.learning_rate = 0.1);
    assert_ne!(full, warm);
}

#[test]
fn weight_decay_leaves_latent_weights_alone_unless_asked() {
    const RATE: f32 = 0.01;
    let (start, plain) = first_step(|_| {});
    for latent in [false, true] {
        let (_, decayed) = first_step(|config| {
            config.training.weight_decay = f64::from(RATE);
            config.training.decay_latent_weights = latent;
        });
        let mut seen = [0, 0];
        for ((name, decayed), (_, plain)) in velocities(&decayed).zip(velocities(&plain)) {
            let rate = if latent || !is_latent(name) { RATE } else { 0.0 };
            seen[usize::from(is_latent(name))] += 1;
            for ((decayed, plain), weight) in decayed.iter().zip(plain).zip(&start[name]) {
                let expected = plain + rate * weight;
                assert!(
                    (decayed - expected).abs() < 1e-6,
                    "{name}: {decayed}, expected {expected}"
                );
            }
        }
        assert!(seen.iter().all(|&seen| seen > 0), "{seen:?}");
    }
}

#[test]
fn clipped_gradients_have_the_norm_that_was_asked_for_and_their_direction() {
    let norm = |tensors: &Tensors| {
        let squares = velocities(tensors)
            .flat_map(|(_, values)| values)
            .map(|v| f64::from(*v).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let (_, plain) = first_step(|_| {});
    let full = norm(&plain);
    assert!(full > 0.1, "{full}");
    let (_, clipped) = first_step(|config| config.training.clip_gradients = Some(0.1));
    assert!((norm(&clipped) - 0.1).abs() < 1e-5, "{}", norm(&clipped));
    for ((name, clipped), (_, plain)) in velocities(&clipped).zip(velocities(&plain)) {
        for (clipped, plain) in clipped.iter().zip(plain) {
            let expected = f64::from(*plain) * 0.1 / full;
            assert!((f64::from(*clipped) - expected).abs() < 1e-6, "{name}");
        }
    }
    let (_, untouched) = first_step(|config| config.training.clip_gradients = Some(2.0 * full));
    assert_eq!(untouched, plain);
}

/// The gradient of the head's bias is the mean of softmax minus target over the batch of 10. Of one-hot targets, smoothing by a half takes
/// a twentieth for each image of a class, and gives each of the 10 classes a twentieth.
#[test]
fn label_smoothing_changes_the_targets() {
    let gradient = |smoothing| {
        let (_, after) = first_step(|config| config.training.label_smoothing = smoothing);
        after["stompp.velocity.fc.bias"].clone()
    };
    let (plain, smoothed) = (gradient(0.0), gradient(0.5));
    let images = smoothed
        .iter()
        .zip(&plain)
        .map(|(smoothed, plain)| 20.0 * (smoothed - plain) + 1.0);
    let images: Vec<f32> = images.collect();
    assert!(
        images.iter().all(|n| (n - n.round()).abs() < 1e-4 && *n > -0.5),
        "{images:?}"
    );
    assert_eq!(images.iter().map(|n| n.round()).sum::<f32>(), 10.0);
}

/// Adam's first step moves every parameter that has a gradient by the learning rate.
#[test]
fn adam_moves_by_the_learning_rate() {
    const RATE: f32 = 1e-3;
    let (start, after) = first_step(|config| {
        config.training.optimizer = OptimizerName::Adam;
        config.training.learning_rate = f64::from(RATE);
    });
    assert!(after.contains_key("stompp.first_moment.fc.weight") && velocities(&after).next().is_none());
    let moved = start["fc.weight"]
        .iter()
        .zip(&after["fc.weight"])
        .map(|(a, b)| (a - b).abs());
    let most = moved.filter(|moved| (moved / RATE - 1.0).abs() < 0.01).count();
    assert!(
        most * 10 > start["fc.weight"].len() * 9,
        "{most} of {}",
        start["fc.weight"].len()
    );
}
