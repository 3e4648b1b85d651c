//! Soft refresh gives the same bits as on the host.

use crate::common::{STRICT, gpu};
use stompp_rng::{Purpose, StreamKey};
use stompp_schedule::Mask;

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_masks_are_the_host_s_to_the_bit() {
    let gpu = gpu(STRICT);
    for (entries, r) in [
        (1, 1.0),
        (63, 2.0),
        (64, 100.0),
        (1000, 1.0),
        (1000, 3.5),
        (100_000, 100.0),
        (300_000, 7.0),
        (5000, 1e6),
    ] {
        let mut host = Mask::new(entries);
        let mut device = gpu.upload_mask(host.words()).unwrap();
        let mut frozen = 0;
        for (step, p) in [0.3, 0.9, 0.5, 1.0, 0.0].into_iter().enumerate() {
            let key = StreamKey::new(7, Purpose::WEIGHT_MASK, entries as u64, step as u64);
            let expected = host.refresh(p, r, &mut key.rng());
            let (fresh, changes) = gpu.refresh_mask(&device, entries, p, r, key.bytes()).unwrap();
            device = fresh;
            let what = format!("{entries} entries, r = {r}, p = {p}");
            assert_eq!(gpu.download_mask(&device).unwrap(), host.words(), "{what}");
            assert_eq!(
                (changes.redrawn, changes.frozen + changes.opened),
                (expected.redrawn, expected.changed),
                "{what}"
            );
            frozen = frozen + changes.frozen - changes.opened;
            assert_eq!(frozen, host.count_ones(), "{what}");
        }
        assert!(
            entries < 1000 || r > 1000.0 || frozen < entries,
            "the last step opened some"
        );
    }
}

/// Some of these streams need more draws than were made in advance.
#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_draws_that_were_not_made_ahead_are_the_host_s() {
    let gpu = gpu(STRICT);
    let entries = 20_000;
    let empty = gpu.upload_mask(Mask::new(entries).words()).unwrap();
    let mut most = 0;
    for stream in 0..300 {
        let mut host = Mask::new(entries);
        let key = StreamKey::new(1, Purpose::WEIGHT_MASK, stream, 0);
        let expected = host.refresh(0.5, 20.0, &mut key.rng());
        let (device, changes) = gpu.refresh_mask(&empty, entries, 0.5, 20.0, key.bytes()).unwrap();
        assert_eq!(changes.redrawn, expected.redrawn);
        assert_eq!(gpu.download_mask(&device).unwrap(), host.words(), "stream {stream}");
        most = most.max(changes.redrawn);
    }
    assert!(most > 1000 + 2 * 31 + 16, "none did: at most {most}");
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_a_refresh_leaves_the_old_mask_alone() {
    let gpu = gpu(STRICT);
    let device = gpu.upload_mask(&[0; 2]).unwrap();
    let key = StreamKey::new(0, Purpose::WEIGHT_MASK, 0, 0);
    let (fresh, changes) = gpu.refresh_mask(&device, 128, 1.0, 1.0, key.bytes()).unwrap();
    assert_eq!((changes.redrawn, changes.frozen, changes.opened), (128, 128, 0));
    assert_eq!(gpu.download_mask(&device).unwrap(), [0; 2]);
    assert_eq!(gpu.download_mask(&fresh).unwrap(), [u64::MAX; 2]);
}
