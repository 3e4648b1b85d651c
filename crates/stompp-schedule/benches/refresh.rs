//! One soft refresh of two million entries: geometric skips against one draw per entry.

#[path = "../tests/naive/mod.rs"]
mod naive;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::hint::black_box;
use stompp_schedule::Mask;

const ENTRIES: usize = 2_000_000;
const P: f64 = 0.3;

fn refresh(c: &mut Criterion) {
    let mut group = c.benchmark_group("refresh of 2M entries");
    group.throughput(Throughput::Elements(ENTRIES as u64)).sample_size(20);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for r in [1.0, 10.0, 100.0, 1000.0] {
        let mut mask = Mask::new(ENTRIES);
        group.bench_function(format!("skips, r = {r}"), |b| {
            b.iter(|| black_box(mask.refresh(P, r, &mut rng)))
        });
    }
    let mut mask = vec![false; ENTRIES];
    group.bench_function("one draw per entry, r = 100", |b| {
        b.iter(|| {
            // Two 32-bit uniforms from one word: the cheapest possible draw per entry.
            mask = naive::refresh(&mask, P, 100.0, || {
                let word = rng.next_u64();
                let unit = |bits: u32| f64::from(bits) / f64::from(u32::MAX);
                (unit(word as u32), unit((word >> 32) as u32))
            });
            black_box(mask.len())
        });
    });
    group.finish();
}

criterion_group!(benches, refresh);
criterion_main!(benches);
