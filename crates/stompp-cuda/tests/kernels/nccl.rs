//! Messages over NCCL, between threads that each have a communicator. With the fake driver they share its device; with GPUs each thread
//! needs one of its own, so the test has as many threads as there are GPUs, up to four.

use cudarc::driver::result;
use std::thread;
use stompp_cuda::{Communicator, UniqueId};

/// Number of threads.
fn size() -> usize {
    if cfg!(feature = "cuda-stand-in") {
        return 4;
    }
    result::init().unwrap();
    (result::device::get_count().unwrap() as usize).min(4)
}

/// Calls `f` in each thread. Returns the results by rank.
fn in_group<T: Send>(size: usize, f: impl Fn(&mut Communicator) -> T + Sync) -> Vec<T> {
    let id = UniqueId::new().unwrap();
    let join = |rank: usize| {
        let gpu = if cfg!(feature = "cuda-stand-in") { 0 } else { rank };
        let id = UniqueId::from_bytes(id.as_bytes()).unwrap();
        f(&mut Communicator::join(id, rank, size, gpu).unwrap())
    };
    let join = &join;
    thread::scope(|threads| {
        let running: Vec<_> = (0..size).map(|rank| threads.spawn(move || join(rank))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_messages_arrive_where_they_should() {
    let size = size();
    let results = in_group(size, |communicator| {
        let (rank, size) = (communicator.rank(), communicator.size());
        let all = communicator.all_gather(&[rank as u8; 3]).unwrap();
        assert!(communicator.all_gather(&[]).unwrap().is_empty());
        // Part `to` is `rank`, `to` times.
        let parts: Vec<Vec<u8>> = (0..size).map(|to| vec![rank as u8; to]).collect();
        let lengths: Vec<usize> = parts.iter().map(Vec::len).collect();
        let received = communicator
            .all_to_all(&parts.concat(), &lengths, &vec![rank; size])
            .unwrap();
        // Larger than before, so that the buffers grow.
        let long = communicator.all_gather(&vec![rank as u8; 100_000]).unwrap();
        (all, received, long)
    });
    for (rank, (all, received, long)) in results.into_iter().enumerate() {
        let by_rank = |count: usize| (0..size).map(move |from| vec![from as u8; count]);
        assert_eq!(all, by_rank(3).collect::<Vec<_>>().concat());
        assert_eq!(received, by_rank(rank).collect::<Vec<_>>().concat());
        assert_eq!(long, by_rank(100_000).collect::<Vec<_>>().concat());
    }
}

#[test]
#[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
fn cuda_sums_are_those_of_all_processes() {
    let size = size();
    let sums = in_group(size, |communicator| {
        let mut values: Vec<f32> = (0..5000).map(|i| (i * (communicator.rank() + 1)) as f32).collect();
        communicator.sum(&mut values).unwrap();
        communicator.sum(&mut []).unwrap();
        values
    });
    let factor = size * (size + 1) / 2;
    let expected: Vec<f32> = (0..5000).map(|i| (i * factor) as f32).collect();
    assert_eq!(sums, vec![expected; size]);
}

/// With GPUs this would depend on how they are connected.
#[test]
#[cfg(feature = "cuda-stand-in")]
fn cuda_a_process_that_has_ended_is_an_error() {
    let results = in_group(2, |communicator| {
        (communicator.rank() == 0).then(|| [1, 2].map(|_| communicator.all_gather(&[1])))
    });
    let Some([Err(first), Err(second)]) = &results[0] else {
        panic!("{results:?}")
    };
    assert!(first.to_string().contains("remote process exited"), "{first}");
    assert!(second.to_string().contains("an earlier call"), "{second}");
}

#[test]
fn an_id_has_its_length() {
    assert!(UniqueId::from_bytes(&[1; 127]).is_none());
    assert_eq!(UniqueId::from_bytes(&[1; UniqueId::LEN]).unwrap().as_bytes(), [1; 128]);
}
