//! Groups of threads: sums with the same bits in any number of parts, messages, and members that leave.

use proptest::prelude::*;
use std::thread;
use stompp_parallel::{Collective, CollectiveError, LocalGroup, Reduction, Solo};

/// Calls `f` for each member of a group, each in a thread. Returns the results by rank.
fn in_group<T: Send>(size: usize, reduction: Reduction, f: impl Fn(LocalGroup) -> T + Sync) -> Vec<T> {
    let members = LocalGroup::members(size, reduction).unwrap();
    thread::scope(|threads| {
        let running: Vec<_> = members.into_iter().map(|member| threads.spawn(|| f(member))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Adds vectors in pairs, one after another.
fn in_pairs(mut vectors: Vec<Vec<f32>>) -> Vec<f32> {
    while vectors.len() > 1 {
        vectors = vectors
            .chunks(2)
            .map(|pair| pair[0].iter().zip(&pair[1]).map(|(a, b)| a + b).collect())
            .collect();
    }
    vectors.remove(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_sum_has_the_bits_of_the_sum_in_pairs(
        power in 0_u32..4,
        len in prop_oneof![0_usize..20, 2_000_usize..9_000],
        seed in any::<u32>(),
    ) {
        let size = 1 << power;
        let value = |rank: usize, i: usize| {
            let mixed = (seed ^ (rank * 7919 + i) as u32).wrapping_mul(0x9E37_79B9);
            (mixed as f32 - 2e9) * 10_f32.powi((mixed % 20) as i32 - 10)
        };
        let values = |rank: usize| (0..len).map(|i| value(rank, i)).collect::<Vec<_>>();
        let expected = in_pairs((0..size).map(values).collect());
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        for sums in in_group(size, Reduction::Exact, |member| member.start_sum(values(member.rank())).wait().unwrap()) {
            prop_assert_eq!(bits(&sums), bits(&expected));
        }
    }
}

#[test]
fn small_and_large_sums_go_beside_each_other() {
    let results = in_group(4, Reduction::Exact, |member| {
        let large = [1.0, 2.0].map(|value| member.start_sum(vec![value; 50_000]));
        let mut small = [member.rank() as f64; 300];
        member.sum(&mut small).unwrap();
        assert_eq!(small, [6.0; 300]);
        let mut long = vec![0.5; 5_000];
        member.sum(&mut long).unwrap();
        assert_eq!(long, vec![2.0; 5_000]);
        large.map(|sum| sum.wait().unwrap())
    });
    for [one, two] in results {
        assert_eq!((one, two), (vec![4.0; 50_000], vec![8.0; 50_000]));
    }
}

#[test]
fn fast_sums_take_any_number_of_members() {
    let sums = in_group(3, Reduction::Fast, |member| {
        member.start_sum(vec![1.0, member.rank() as f32]).wait().unwrap()
    });
    assert_eq!(sums, vec![vec![3.0, 3.0]; 3]);
    let refused = LocalGroup::members(3, Reduction::Exact).unwrap_err();
    assert_eq!(refused, CollectiveError::ProcessCount { processes: 3 });
}

#[test]
fn messages_are_by_rank_and_the_first_one_is_broadcast() {
    let results = in_group(4, Reduction::Exact, |member| {
        let message = vec![member.rank() as u8; member.rank()];
        let all = member.gather(message.clone()).unwrap();
        member.barrier().unwrap();
        let first = member.broadcast(vec![member.rank() as u8 + 7; 3]).unwrap();
        (all, first)
    });
    for (all, first) in results {
        assert_eq!(all, [vec![], vec![1], vec![2, 2], vec![3, 3, 3]]);
        assert_eq!(first, [7; 3]);
    }
}

#[test]
fn what_is_sent_is_counted() {
    let sent = in_group(2, Reduction::Exact, |member| {
        member.start_sum(vec![1.0; 10_000]).wait().unwrap();
        let bucket = member.bytes_sent();
        member.gather(vec![0; 100]).unwrap();
        (bucket, member.bytes_sent() - bucket)
    });
    // Half of the values goes to the other, and the sums of the other half.
    assert_eq!(sent, [(40_000, 100); 2]);
}

#[test]
fn a_member_that_leaves_is_named_and_nobody_waits_for_it() {
    let results = in_group(4, Reduction::Exact, |member| {
        if member.rank() == 2 {
            member.abort("the disk is full");
            return None;
        }
        Some((member.sum(&mut [1.0]), member.start_sum(vec![1.0]).wait()))
    });
    let lost = || CollectiveError::Lost {
        rank: 2,
        reason: "the disk is full".to_owned(),
    };
    for result in results.into_iter().flatten() {
        assert_eq!(result, (Err(lost()), Err(lost())));
    }
    let results = in_group(2, Reduction::Exact, |member| {
        (member.rank() == 0).then(|| member.barrier())
    });
    let Some(Err(CollectiveError::Lost { rank: 1, reason })) = &results[0] else {
        panic!("{results:?}")
    };
    assert!(reason.contains("left"), "{reason}");
}

#[test]
fn members_that_do_different_things_are_told() {
    let results = in_group(2, Reduction::Exact, |member| {
        member.sum(&mut vec![1.0; 3 + member.rank()])
    });
    assert_eq!(results[0], Err(CollectiveError::Mismatch { rank: 1 }));
    assert_eq!(results[1], Err(CollectiveError::Mismatch { rank: 0 }));
}

#[test]
fn one_process_alone_keeps_what_it_has() {
    let mut values = [1.5];
    Solo.sum(&mut values).unwrap();
    assert_eq!((values, Solo.rank(), Solo.size(), Solo.bytes_sent()), ([1.5], 0, 1, 0));
    assert_eq!(Solo.start_sum(vec![2.5]).wait(), Ok(vec![2.5]));
    assert_eq!(Solo.gather(vec![3]), Ok(vec![vec![3]]));
    assert_eq!(Solo.broadcast(vec![4]), Ok(vec![4]));
}
