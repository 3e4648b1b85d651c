//! Groups over NCCL: threads on the fake driver, beside a group of threads that sends their messages. The command `stompp` is tested with
//! processes that meet through a file.
#![cfg(feature = "cuda-stand-in")]

use std::sync::Arc;
use std::thread;
use stompp_parallel::{Collective, CollectiveError, LocalGroup, Nccl, Reduction};

/// Calls `f` for each member of a group, each in a thread. Returns the results by rank.
fn in_group<T: Send>(size: usize, reduction: Reduction, f: impl Fn(Nccl) -> T + Sync) -> Vec<T> {
    let members = LocalGroup::members(size, reduction).unwrap();
    let beside = |member| f(Nccl::beside(Arc::new(member), reduction, 0).unwrap());
    let beside = &beside;
    thread::scope(|threads| {
        let running: Vec<_> = members
            .into_iter()
            .map(|member| threads.spawn(move || beside(member)))
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Values whose sum depends on the order of its additions.
fn values(rank: usize, len: usize) -> Vec<f32> {
    let value = |i: usize| {
        let mixed = ((rank * 7919 + i) as u32).wrapping_mul(0x9E37_79B9);
        (mixed as f32 - 2e9) * 10_f32.powi((mixed % 20) as i32 - 10)
    };
    (0..len).map(value).collect()
}

#[test]
fn cuda_exact_sums_have_the_bits_of_the_sum_in_pairs() {
    for len in [0, 3, 40_000] {
        let sums = in_group(4, Reduction::Exact, |member| {
            let large = member.start_sum(values(member.rank(), len));
            let mut small = [0.5, member.rank() as f64];
            member.sum(&mut small).unwrap();
            assert_eq!(small, [2.0, 6.0]);
            large.wait().unwrap()
        });
        let [a, b, c, d] = [0, 1, 2, 3].map(|rank| values(rank, len));
        let expected: Vec<u32> = (0..len).map(|i| ((a[i] + b[i]) + (c[i] + d[i])).to_bits()).collect();
        for sum in sums {
            assert_eq!(sum.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), expected);
        }
    }
}

#[test]
fn cuda_fast_sums_take_any_number_and_messages_go_over_the_group() {
    let results = in_group(3, Reduction::Fast, |member| {
        let sum = member.start_sum(vec![1.0, member.rank() as f32]).wait().unwrap();
        let sent = member.bytes_sent();
        let messages = member.gather(vec![member.rank() as u8; member.rank()]).unwrap();
        (sum, messages, sent)
    });
    for (sum, messages, sent) in results {
        assert_eq!(sum, [3.0, 3.0]);
        assert_eq!(messages, [vec![], vec![1], vec![2, 2]]);
        // The group sent the id, and NCCL two thirds of 8 bytes, twice.
        assert!(sent >= 10, "{sent}");
    }
}

#[test]
fn cuda_other_lengths_are_noticed() {
    let results = in_group(2, Reduction::Exact, |member| {
        member.start_sum(vec![1.0; 40_000 + member.rank()]).wait()
    });
    assert!(
        results
            .iter()
            .any(|result| matches!(result, Err(CollectiveError::Mismatch { .. }))),
        "{results:?}"
    );
}
