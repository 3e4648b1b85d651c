//! Tests of checkpoints of an interrupted run that are altered, cut, or used for another run.

use super::*;
use crate::{
    Callback, OnDivergence, Session, Start,
    callback::StepReport,
    config::{Curve, Order, Time},
    tensors::SavedTensor,
};
use safetensors::SafeTensors;
use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tempfile::TempDir;

/// 16 steps, 5 per epoch.
fn config() -> RunConfig {
    let mut config = RunConfig::default();
    config.data.image_size = 8;
    config.data.train_limit = Some(50);
    config.data.test_limit = Some(20);
    config.network.model = "resnet8".parse().unwrap();
    config.network.width = Some(4);
    config.method.order = Order::Global; // So that everything is freezing when the run is interrupted.
    config.method.curve = Curve::Linear; // And much of it frozen.
    config.method.refresh = "2".parse().unwrap();
    config.training.duration = Time::Steps(16);
    config.training.batch_size = 10;
    config
}

fn session(stop: bool, every: &str) -> Session {
    Session {
        start: Start::Resume,
        checkpoints: Some(Checkpointing {
            every: every.parse().unwrap(),
            ..Checkpointing::default()
        }),
        stop: Arc::new(AtomicBool::new(stop)),
        ..Session::default()
    }
}

/// A run that was stopped after each of its first three steps, with its last checkpoint.
fn interrupted() -> (TempDir, PathBuf) {
    let run = tempfile::tempdir().unwrap();
    for step in 1..=3 {
        let stopped = session(true, "100ba")
            .train(&config(), run.path(), &mut [])
            .unwrap_err();
        assert!(
            matches!(stopped, TrainError::Stopped { step: at } if at == step),
            "{stopped}"
        );
    }
    let path = run.path().join("checkpoints/step-0000000000003.safetensors");
    assert_eq!(checkpoint_step(&path, &fs::read(&path).unwrap()).unwrap(), 3);
    (run, path)
}

/// Resumes the run to its end and returns the trained network.
fn finish(run: &Path) -> Vec<u8> {
    session(false, "100ba").train(&config(), run, &mut []).unwrap();
    fs::read(run.join("network.safetensors")).unwrap()
}

/// Changes tensors and header of a checkpoint and updates its checksum.
fn tamper(path: &Path, change: impl FnOnce(&mut Vec<SavedTensor>, &mut Value)) {
    let bytes = fs::read(path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut header = serde_json::from_str(&metadata.metadata().as_ref().unwrap()[HEADER]).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<SavedTensor> = file
        .iter()
        .map(|(name, view)| SavedTensor {
            name: name.to_owned(),
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: if name == checksum::NAME {
                vec![0; 16]
            } else {
                view.data().to_vec()
            },
        })
        .collect();
    change(&mut tensors, &mut header);
    let header = header.to_string();
    fs::write(path, Snapshot { tensors, header }.parts().concat()).unwrap();
}

fn tensor<'a>(tensors: &'a mut [SavedTensor], name: &str) -> &'a mut SavedTensor {
    tensors.iter_mut().find(|saved| saved.name == name).expect(name)
}

/// Negative control: every part of a checkpoint affects the result, so a part that is not restored would be noticed.
#[test]
fn whatever_is_not_restored_is_noticed() {
    let (undisturbed, _) = interrupted();
    let expected = finish(undisturbed.path());
    let (same, path) = interrupted();
    tamper(&path, |_, _| ());
    assert!(
        finish(same.path()) == expected,
        "reading and writing alone changes nothing"
    );

    type Change = fn(&mut Vec<SavedTensor>, &mut Value);
    let changes: [(&str, Change); 6] = [
        ("a mask", |tensors, _| {
            tensor(tensors, "stompp.mask.layer1.0.conv1.weight").bytes.fill(0)
        }),
        ("momentum", |tensors, _| {
            tensor(tensors, "stompp.velocity.fc.bias").bytes.fill(0)
        }),
        ("a weight", |tensors, _| tensor(tensors, "conv1.weight").bytes[0] ^= 1),
        // Not the lowest bit: the statistic follows the data, and the bit is rounded away by the end.
        ("a statistic", |tensors, _| {
            tensor(tensors, "bn1.running_mean").bytes[2] ^= 1
        }),
        ("the learning rate", |_, header| header["learning_rate"] = 0.05.into()),
        ("the position in data and plan", |_, header| {
            header["course"]["step"] = 4.into();
            header["batch"] = 4.into();
        }),
    ];
    for (what, change) in changes {
        let (run, path) = interrupted();
        tamper(&path, change);
        assert!(finish(run.path()) != expected, "{what} made no difference");
    }
}

/// Stops the run after step 5, before the evaluation that is due there.
struct StopAtFive(Arc<AtomicBool>);

impl Callback for StopAtFive {
    fn on_step(&mut self, step: &StepReport) -> Result<(), TrainError> {
        self.0.fetch_or(step.step == 5, Ordering::Relaxed);
        Ok(())
    }
}

/// With these finite weights the logits overflow, which only the evaluation finds. The checkpoint that was written before it must then
/// not be restored.
#[test]
fn a_divergence_that_an_evaluation_finds_goes_back_beyond_it() {
    for rule in [OnDivergence::Stop, OnDivergence::Restore] {
        let (run, third) = interrupted();
        let stopping = session(false, "100ba");
        let stop = &mut StopAtFive(Arc::clone(&stopping.stop));
        let stopped = stopping.train(&config(), run.path(), &mut [stop]).unwrap_err();
        assert!(matches!(stopped, TrainError::Stopped { step: 5 }), "{stopped}");
        let fifth = run.path().join("checkpoints/step-0000000000005.safetensors");
        tamper(&fifth, |tensors, _| {
            let large = 3e38f32.to_le_bytes().repeat(10 * 16);
            tensor(tensors, "fc.weight").bytes = large;
        });
        let session = Session {
            on_divergence: rule,
            ..session(false, "100ba")
        };
        match session.train(&config(), run.path(), &mut []) {
            Err(TrainError::NonFinite {
                what, step, last_good, ..
            }) => {
                assert_eq!((what, step, rule), ("test loss", 5, OnDivergence::Stop));
                assert_eq!(last_good, Some(third));
                assert!(!fifth.exists());
            }
            Ok(result) => assert_eq!((result.steps, rule), (16, OnDivergence::Restore)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The error message for resuming from a changed checkpoint.
fn refused(change: impl FnOnce(&mut Vec<SavedTensor>, &mut Value)) -> String {
    let (run, path) = interrupted();
    tamper(&path, change);
    let error = session(false, "1ep").train(&config(), run.path(), &mut []).unwrap_err();
    assert!(error.to_string().contains("step-0000000000003.safetensors"), "{error}");
    error.to_string()
}

#[test]
fn a_checkpoint_that_is_not_this_runs_is_refused_by_name() {
    let cases = [
        (
            refused(|_, header| header["format"] = 2.into()),
            "format 2; this program reads format 1",
        ),
        (refused(|_, header| header["course"] = Value::Null), "header: "),
        (refused(|_, header| *header = 3.into()), "header: "),
        (
            refused(|_, header| {
                let config = header["config"].as_str().unwrap().replacen("seed = 0", "seed = 1", 1);
                header["config"] = config.into();
            }),
            "belongs to another run: seed was 1, now it is 0",
        ),
        (
            refused(|_, header| header["config"] = "colour = 1".into()),
            "unknown field `colour`",
        ),
        (
            refused(|_, header| header["course"]["step"] = 17.into()),
            "is of step 17",
        ),
        (
            refused(|_, header| header["course"]["step"] = u64::MAX.into()),
            "is of step 1844",
        ),
        (refused(|_, header| header["batch"] = 2.into()), "batch 2"),
        (
            refused(|_, header| {
                header["course"]["step"] = 16.into();
                header["epoch"] = 3.into();
                header["batch"] = 1.into();
            }),
            // Nothing is freezing any more after the last step.
            "tensors, the network ",
        ),
        (
            refused(|tensors, _| tensor(tensors, "fc.bias").name = "fc.Bias".into()),
            "has no tensor fc.bias",
        ),
        (
            refused(|tensors, _| tensor(tensors, "conv1.weight").shape = vec![3, 4, 3, 3]),
            "tensor conv1.weight is F32 [3, 4, 3, 3], expected F32 [4, 3, 3, 3]",
        ),
        (
            refused(|tensors, _| tensors.push(SavedTensor::f32("extra".into(), vec![1], &[0.0]))),
            "tensors, the network ",
        ),
        (
            refused(|tensors, _| tensors.retain(|saved| saved.name != "stompp.mask.layer1.0.conv1.weight")),
            "has no tensor stompp.mask.layer1.0.conv1.weight",
        ),
        (
            // Its 4 * 4 * 3 * 3 entries do not fill the last word.
            refused(|tensors, _| tensor(tensors, "stompp.mask.layer1.0.conv1.weight").bytes.fill(0xff)),
            "saved mask",
        ),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "{message:?} should say {expected:?}");
    }
}

/// Tests every length of the file, and several changes of every byte of its header.
#[test]
fn every_truncation_and_every_header_byte_is_noticed() {
    let (_run, path) = interrupted();
    let good = fs::read(&path).unwrap();
    for len in 0..good.len() {
        assert!(checksum::verify(&good[..len]).is_err(), "{len} bytes");
    }
    let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let mut bad = good.clone();
    for place in 0..header {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            bad[place] = good[place] ^ flip;
            assert!(checksum::verify(&bad).is_err(), "byte {place} ^ {flip:#x}");
        }
        bad[place] = good[place];
    }
    checksum::verify(&bad).map(drop).unwrap();
}

#[test]
fn absurd_lengths_and_doubled_names_are_refused_before_anything_is_allocated() {
    let with_header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &[0; 8]].concat();
    let empty = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let second = r#"{"dtype":"F32","shape":[1],"data_offsets":[4,8]}"#;
    for file in [
        [u64::MAX.to_le_bytes(), [b'{'; 8]].concat(),
        [(1_u64 << 40).to_le_bytes(), [b'{'; 8]].concat(),
        with_header(&format!(r#"{{"a":{empty},"a":{second}}}"#)),
        with_header(r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#),
        with_header(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}}"#),
        with_header(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#),
        with_header("{}"),
    ] {
        assert!(checksum::verify(&file).is_err(), "{file:?}");
    }
}
