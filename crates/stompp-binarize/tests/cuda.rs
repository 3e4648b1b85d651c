//! Masks that are drawn on a GPU equal the host's, and the quantizer reads them on the GPU.
#![cfg(feature = "cuda")]

use dfdx::tensor::{Cpu, TensorFromVec};
use stompp_binarize::{EvalMode, FreezeState, MaskedQuantizer, Surrogate, backend::Refresher};
use stompp_nn::cuda::{GpuSettings, open};
use stompp_rng::{Purpose, StreamKey};
use stompp_schedule::Mask;

const ENTRIES: usize = 200_000;

fn mask(quantizer: &MaskedQuantizer) -> Mask {
    match quantizer.state() {
        FreezeState::Freezing(mask) => mask.host().unwrap().clone(),
        state => panic!("{state:?}"),
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_masks_go_through_training_as_the_host_s() {
    let cuda = open(GpuSettings::default()).unwrap();
    let [mut host, mut device] = [(); 2].map(|()| MaskedQuantizer::new(ENTRIES, Surrogate::Blocked));
    let values: Vec<f32> = (0..2 * ENTRIES).map(|i| (i as f32).sin() * 1.5).collect();
    for step in 0..6 {
        let key = StreamKey::new(3, Purpose::ACTIVATION_MASK, 0, step);
        let p = 0.2 * step as f64;
        let before = device.clone();
        let (on_host, on_device) = (
            host.refresh(p, 50.0, &mut key.rng()).unwrap(),
            device.refresh_with(&cuda, p, 50.0, &key).unwrap(),
        );
        assert_eq!(on_device, on_host, "step {step}");
        assert_eq!(device.frozen_fraction(), host.frozen_fraction(), "step {step}");
        if step > 0 {
            assert_ne!(mask(&before), mask(&device), "a clone keeps the mask that it had");
        }
        let quantized = |quantizer: &MaskedQuantizer| {
            let u = cuda.tensor_from_vec(values.clone(), (2, ENTRIES));
            quantizer.evaluate(u, EvalMode::Current).unwrap().as_vec()
        };
        let expected = {
            let u = Cpu::default().tensor_from_vec(values.clone(), (2, ENTRIES));
            host.evaluate(u, EvalMode::Current).unwrap().as_vec()
        };
        assert!(quantized(&device) == expected, "step {step}: what is quantized");
        assert!(mask(&device) == mask(&host), "step {step}: the mask");
        if step == 3 {
            // As a checkpoint does: save and restore.
            let words = mask(&device).words().to_vec();
            device = MaskedQuantizer::new(ENTRIES, Surrogate::Blocked);
            device.restore(words).unwrap();
        }
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_leaves_few_draws_to_the_host() {
    let cuda = open(GpuSettings::default()).unwrap();
    let mut quantizer = MaskedQuantizer::new(ENTRIES, Surrogate::Blocked);
    let key = StreamKey::new(0, Purpose::WEIGHT_MASK, 0, 0);
    quantizer.refresh(0.5, 2.0, &mut key.rng()).unwrap();
    let FreezeState::Freezing(mask) = quantizer.state() else {
        panic!("it is freezing");
    };
    assert!(cuda.refresh(mask, 0.5, 1000.0, &key).is_none());
    assert!(cuda.refresh(mask, 0.5, 100.0, &key).is_some());
}
