//! What is told of each unit, and that telling it changes nothing.

mod small;

use small::small;
use std::{fs, path::Path};
use stompp_train::{
    Callback, DiagnosticsReport, MetricRecord, RunConfig, Session, TrainError,
    callback::StepReport,
    config::{Method, Order, Setting, Time},
};

const STEPS: u64 = 60;
const UNITS: u64 = 6;

/// 20 steps an epoch, 3 epochs: windows of 10 steps.
fn config(method: Method, order: Order, setting: Setting) -> RunConfig {
    let mut config = small(200, 50, 10);
    config.network.setting = setting;
    config.method.name = method;
    config.method.order = order;
    config.method.refresh = "2".parse().unwrap();
    config.method.tail = Time::Steps(0);
    config.training.duration = Time::Steps(STEPS);
    config.training.evaluate_every = Time::Steps(STEPS);
    config
}

fn run(config: &RunConfig, diagnostics: Option<Time>, out: &Path, callbacks: &mut [&mut dyn Callback]) {
    let session = Session {
        diagnostics,
        ..Session::default()
    };
    session.train(config, out, callbacks).unwrap();
}

fn reports(run: &Path) -> Vec<DiagnosticsReport> {
    let metrics = MetricRecord::read(run).unwrap().into_iter();
    metrics
        .filter_map(|metric| match metric {
            MetricRecord::Diagnostics(report) => Some(report),
            _ => None,
        })
        .collect()
}

/// Reports of a run by `method`, one after every second step.
fn every_other_step(method: Method, order: Order, setting: Setting) -> Vec<DiagnosticsReport> {
    let folder = tempfile::tempdir().unwrap();
    run(
        &config(method, order, setting),
        Some(Time::Steps(2)),
        folder.path(),
        &mut [],
    );
    reports(folder.path())
}

#[test]
fn looking_changes_no_bit_of_the_network() {
    for method in [Method::Stompp, Method::StomppSte, Method::Ste, Method::Float] {
        let config = config(method, Order::Forward, Setting::Bnn);
        let network = |diagnostics| {
            let folder = tempfile::tempdir().unwrap();
            run(&config, diagnostics, folder.path(), &mut []);
            let told = reports(folder.path()).len() as u64;
            (fs::read(folder.path().join("network.safetensors")).unwrap(), told)
        };
        let (without, none) = network(None);
        assert_eq!(none, 0);
        for (every, expected) in [(Time::Epochs(1.0), 3), (Time::Steps(7), 9), (Time::Share(0.0), STEPS)] {
            let (with, told) = network(Some(every));
            assert_eq!(told, expected, "{every}");
            assert!(with == without, "{method}, {every}");
        }
    }
}

#[test]
fn targets_and_frozen_fractions_follow_the_plan() {
    let reports = every_other_step(Method::Stompp, Order::Forward, Setting::Bnn);
    assert_eq!(reports.len() as u64, STEPS / 2);
    for report in &reports {
        for (place, unit) in (0..).zip(&report.units) {
            // Windows are 10 steps each; the last step of which the report tells is number `step - 1`.
            let (into, begin) = ((report.step - 1) as f64 - 10.0 * place as f64, 10 * place);
            let expected = (into / 10.0).clamp(0.0, 1.0).powi(3);
            assert!(
                (unit.target - expected).abs() < 1e-12,
                "{} at {}: {}",
                unit.name,
                report.step,
                unit.target
            );
            assert_eq!(
                unit.committed,
                report.step > begin + 10,
                "{} at {}",
                unit.name,
                report.step
            );
            let frozen = [Some(unit.weight_frozen), unit.activation_frozen];
            match (report.step <= begin, unit.committed) {
                (true, _) => assert_eq!(frozen, [Some(0.0); 2]),
                (_, true) => assert_eq!(frozen, [Some(1.0); 2]),
                _ => assert!(unit.weight_frozen <= 1.0),
            }
            let freezing = report.step > begin && report.step <= begin + 12;
            assert!(
                freezing || unit.weight_mask_flips == 0.0,
                "{} at {}",
                unit.name,
                report.step
            );
        }
    }
    for place in 0..UNITS as usize {
        let flips: f64 = reports.iter().map(|report| report.units[place].weight_mask_flips).sum();
        // Each entry that froze before the commit flipped once or oftener.
        let most = reports
            .iter()
            .map(|report| report.units[place].weight_frozen)
            .filter(|frozen| *frozen < 1.0);
        assert!(
            flips >= most.fold(0.0, f64::max) && flips > 0.0,
            "unit {place}: {flips}"
        );
    }
}

#[test]
fn a_frozen_activation_cuts_off_what_lies_upstream_and_nothing_else() {
    for (order, setting) in [
        (Order::Forward, Setting::Bnn),
        (Order::Reverse, Setting::Bnn),
        (Order::Reverse, Setting::Bwn),
    ] {
        let (mut cut, mut reached) = (0, 0);
        for report in every_other_step(Method::Stompp, order, setting) {
            for (place, unit) in report.units.iter().enumerate() {
                // The first activation of a later block cuts off everything; that inside of a block, which the shortcut passes by,
                // only the convolution before it.
                let frozen = |place: usize| report.units[place].activation_frozen == Some(1.0);
                let blocked = (place + 1..6).any(|later| frozen(later) && (later % 2 == 0 || later == place + 1));
                // A report covers two steps; windows are even, so that a unit is the whole of both in one state.
                if unit.committed || blocked {
                    assert_eq!(
                        unit.gradient_norm, 0.0,
                        "{order} {setting}: {} at {}",
                        unit.name, report.step
                    );
                    cut += u32::from(!unit.committed);
                } else {
                    assert!(
                        unit.gradient_norm > 0.0,
                        "{order} {setting}: {} at {}",
                        unit.name,
                        report.step
                    );
                    reached += 1;
                }
            }
        }
        assert!(reached > 20);
        assert_eq!(
            cut > 20,
            (order, setting) == (Order::Reverse, Setting::Bnn),
            "{order} {setting}: {cut}"
        );
    }
}

/// Counts what the network itself shows between two reports.
#[test]
fn flips_of_sign_and_histograms_are_those_of_the_weights() {
    let config = config(Method::Ste, Order::Forward, Setting::Bnn);
    let at = |steps: u64| {
        let (folder, mut shorter) = (tempfile::tempdir().unwrap(), config.clone());
        shorter.training.duration = Time::Steps(steps);
        run(&shorter, Some(Time::Steps(20)), folder.path(), &mut []);
        let bytes = fs::read(folder.path().join("network.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let (weights, _) = file.tensor("layer2.0.conv1.weight").unwrap().data().as_chunks();
        let weights: Vec<f32> = weights.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        (weights, reports(folder.path()).pop().unwrap())
    };
    let ((before, _), (after, report)) = (at(20), at(40));
    let unit = report.units.iter().find(|unit| unit.name == "layer2.0.conv1").unwrap();
    let flips = before
        .iter()
        .zip(&after)
        .filter(|(a, b)| (**a < 0.0) != (**b < 0.0))
        .count();
    assert!(flips > 0);
    assert_eq!(unit.sign_flips, Some(flips as f64 / after.len() as f64));
    let positive: u64 = unit.histogram[16..].iter().sum();
    assert_eq!(positive as usize, after.iter().filter(|weight| **weight >= 0.0).count());
    let inside = after.iter().filter(|weight| weight.abs() < 1.0).count();
    assert_eq!(unit.weights_inside, inside as f64 / after.len() as f64);
    assert!(
        unit.activations_inside.is_some_and(|share| (0.2..1.0).contains(&share)),
        "{:?}",
        unit.activations_inside
    );
}

/// Fails after some steps, as a kill would.
struct Fail(u64);

impl Callback for Fail {
    fn on_step(&mut self, step: &StepReport) -> Result<(), TrainError> {
        match step.step == self.0 {
            true => Err(TrainError::Device("gone".to_owned())),
            false => Ok(()),
        }
    }
}

#[test]
fn metrics_are_read_back_and_a_cut_line_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(Method::Stompp, Order::Forward, Setting::Bnn);
    run(&config, Some(Time::Epochs(1.0)), folder.path(), &mut []);
    let (whole, told) = (MetricRecord::read(folder.path()).unwrap(), reports(folder.path()));
    let kinds: Vec<_> = whole
        .iter()
        .map(|metric| {
            serde_json::to_value(metric).unwrap()["kind"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let epoch = ["epoch", "diagnostics"];
    assert_eq!(
        kinds,
        [
            &["start"][..],
            &epoch,
            &epoch,
            &epoch,
            &["evaluation", "concern", "end"],
        ]
        .concat(),
        "so short a run ends no better than chance, and says so"
    );

    let path = folder.path().join("metrics.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 3]).unwrap();
    assert_eq!(MetricRecord::read(folder.path()).unwrap(), whole[..whole.len() - 1]);
    fs::write(&path, text.replacen("\"kind\":\"epoch\"", "\"kind\":\"epok\"", 1)).unwrap();
    let message = MetricRecord::read(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("metrics.jsonl") && message.contains("line 2"),
        "{message}"
    );

    // A run that failed has told what it did until then.
    let failed = tempfile::tempdir().unwrap();
    let error = Session::default().train(&config, failed.path(), &mut [&mut Fail(30)]);
    assert!(error.is_err());
    assert_eq!(reports(failed.path()), told[..1]);
}
