//! Whole runs on a GPU: their losses are close to those of the CPU, their bits repeat, they resume after an interruption, several
//! processes write the bytes of one, and memory does not grow. Without a GPU the fake driver runs them (`--features cuda-stand-in`), on smaller networks.
#![cfg(feature = "cuda")]

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};
use stompp_nn::cuda::{Gpu, gpu};
use stompp_parallel::{LocalGroup, Reduction};
use stompp_train::{Callback, Checkpointing, RunConfig, Session, Start, TrainError, callback::StepReport};

/// Runs one test at a time, because memory is measured for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The loss of each step.
#[derive(Default)]
struct Losses(Vec<f32>);

impl Callback for Losses {
    fn on_step(&mut self, report: &StepReport) -> Result<(), TrainError> {
        self.0.push(report.loss);
        Ok(())
    }
}

/// The configuration of a run of `steps` steps through every phase of freezing.
fn config(device: &str, method: &str, steps: usize) -> RunConfig {
    let (model, width, side, batch) = if cfg!(feature = "cuda-stand-in") {
        ("resnet8", 4, 8, 8)
    } else {
        ("resnet20", 16, 32, 64)
    };
    let text = format!(
        "data = {{ train_limit = 640, test_limit = 100, image_size = {side} }}
         network = {{ model = '{model}', width = {width} }}
         method = {{ name = '{method}' }}
         training = {{ duration = '{steps}ba', batch_size = {batch}, learning_rate = 0.02, evaluate_every = '100%' }}
         device = {{ name = '{device}', strict_f32 = true }}"
    );
    RunConfig::from_toml(&text).expect("a configuration")
}

fn run(config: &RunConfig, out: &Path) -> Vec<f32> {
    let mut losses = Losses::default();
    let session = Session {
        diagnostics: None,
        ..Session::default()
    };
    session.train(config, out, &mut [&mut losses]).expect("a run");
    losses.0
}

fn network(run: &Path) -> Vec<u8> {
    fs::read(run.join("network.safetensors")).expect("the trained network")
}

/// Rounding differs between the devices, and a single different sign changes all later steps. So the first steps are compared one by
/// one, and later steps by means over ten steps.
#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_a_hundred_steps_follow_the_cpu() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    for method in ["float", "ste", "stompp", "stompp-ste"] {
        let [cpu, cuda] = ["cpu", "cuda"].map(|device| {
            let out = folder.path().join(format!("{method}-{device}"));
            run(&config(device, method, 100), &out)
        });
        let off = |a: f32, b: f32| (a - b).abs() / b;
        for (step, (cuda, cpu)) in cuda.iter().zip(&cpu).take(5).enumerate() {
            assert!(
                off(*cuda, *cpu) < 1e-3,
                "{method}, step {step}: loss {cuda}, on the CPU {cpu}"
            );
        }
        let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
        for (decade, (cuda, cpu)) in cuda.chunks(10).zip(cpu.chunks(10)).enumerate() {
            let (cuda, cpu) = (mean(cuda), mean(cpu));
            println!("{method}: steps from {}: {cuda} and {cpu}", 10 * decade);
            assert!(
                off(cuda, cpu) < 0.1,
                "{method}, steps from {}: {cuda} and {cpu}",
                10 * decade
            );
        }
    }
}

/// Trains with several processes, for which threads stand that share the GPU.
fn run_in_processes(size: usize, config: &RunConfig, out: &Path) {
    let members = LocalGroup::members(size, Reduction::Exact).expect("a group");
    std::thread::scope(|threads| {
        for member in members {
            let session = Session {
                processes: Arc::new(member),
                ..Session::default()
            };
            threads.spawn(move || session.train(config, out, &mut []).expect("a run"));
        }
    });
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_any_number_of_processes_writes_the_bytes_of_one() {
    let _alone = alone();
    for (method, setting, batch) in [
        ("stompp", "bnn", 10),
        ("stompp", "bwn", 8),
        ("stompp-ste", "bnn", 8),
        ("ste", "bwn", 10),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = config("cuda", method, 16);
        config.network.setting = setting.parse().expect("a setting");
        config.training.batch_size = batch;
        let plain = folder.path().join("plain");
        run(&config, &plain);
        config.processes.slices = Some(4);
        let alone = folder.path().join("alone");
        run(&config, &alone);
        assert!(
            network(&plain) != network(&alone),
            "slices change bits: {method} {setting}"
        );
        for size in [2, 4] {
            let out = folder.path().join(size.to_string());
            run_in_processes(size, &config, &out);
            assert!(network(&out) == network(&alone), "{size} processes, {method} {setting}");
        }
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_a_run_repeats_its_bits_and_so_does_one_that_was_interrupted() {
    /// Ends the run after a number of steps.
    struct Interrupt<'a>(&'a Session, u64);
    impl Callback for Interrupt<'_> {
        fn on_step(&mut self, report: &StepReport) -> Result<(), TrainError> {
            self.0.stop.store(report.step == self.1, Ordering::Relaxed);
            Ok(())
        }
    }
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let [once, again, parts] = ["once", "again", "parts"].map(|name| folder.path().join(name));
    let config = config("cuda", "stompp", 40);
    run(&config, &once);
    run(&config, &again);
    assert_eq!(network(&once), network(&again), "the same run twice");

    let session = Session {
        start: Start::Resume,
        checkpoints: Some(Checkpointing::default()),
        ..Session::default()
    };
    for step in [7, 23] {
        let stopped = session.train(&config, &parts, &mut [&mut Interrupt(&session, step)]);
        assert!(matches!(stopped, Err(TrainError::Stopped { .. })), "{stopped:?}");
        session.stop.store(false, Ordering::Relaxed);
    }
    session.train(&config, &parts, &mut []).expect("the rest");
    assert_eq!(network(&once), network(&parts), "interrupted twice");
    let other = folder.path().join("other");
    run(&RunConfig { seed: 1, ..config }, &other);
    assert_ne!(network(&once), network(&other), "the comparison can fail");
}

/// Checks that the bytes in use stay constant in the second half, after everything was allocated once.
#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_memory_does_not_grow() {
    struct Memory(Vec<u64>);
    impl Callback for Memory {
        fn on_step(&mut self, _: &StepReport) -> Result<(), TrainError> {
            self.0
                .push(gpu().and_then(Gpu::memory_in_use).expect("the driver tells"));
            Ok(())
        }
    }
    let _alone = alone();
    let steps = 1000;
    let folder = tempfile::tempdir().expect("a folder");
    let mut memory = Memory(Vec::new());
    let session = Session {
        diagnostics: None,
        ..Session::default()
    };
    session
        .train(
            &config("cuda", "ste", steps),
            &folder.path().join("run"),
            &mut [&mut memory],
        )
        .expect("a run");
    let second_half = &memory.0[steps / 2..];
    assert_eq!(second_half.iter().min(), second_half.iter().max(), "{second_half:?}");
}
