//! Processes that `mpirun` starts do what the members of a [`LocalGroup`] do. Needs Open MPI.

use std::process::{Command, Output};
use stompp_parallel::{Collective, CollectiveError, LocalGroup, Mpi, Reduction};

/// Starts `size` processes of the test `process`, each with `task`.
fn run(size: usize, task: &str) -> Output {
    let program = std::env::current_exe().unwrap();
    Command::new("mpirun")
        .args(["--oversubscribe", "-x", "STOMPP_TEST_TASK", "-n", &size.to_string()])
        .arg(program)
        .args(["--exact", "process", "--ignored", "--nocapture"])
        .env("STOMPP_TEST_TASK", task)
        // Open MPI refuses to be started by root, as containers do it.
        .envs([("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")])
        .output()
        .expect("mpirun can be started: these tests need Open MPI")
}

/// Not a test, but the processes of the tests.
#[test]
#[ignore = "started by the other tests"]
fn process() {
    match std::env::var("STOMPP_TEST_TASK").unwrap().as_str() {
        "everything" => {
            let group = Mpi::start(Reduction::Exact).unwrap();
            println!("\nRESULT {} {:016x}", group.rank(), everything(&group));
        }
        "fast" => {
            let group = Mpi::start(Reduction::Fast).unwrap();
            let sums = group.start_sum(vec![1.0; 10_000]).wait().unwrap();
            println!("\nRESULT {} {}", group.rank(), sums[9_999]);
        }
        "three" => {
            let error = Mpi::start(Reduction::Exact).unwrap_err();
            assert_eq!(error, CollectiveError::ProcessCount { processes: 3 });
            println!("\nRESULT refused");
        }
        "abort" => {
            let group = Mpi::start(Reduction::Exact).unwrap();
            if group.rank() == 1 {
                group.abort("the disk is full");
            }
            group.barrier().unwrap();
            println!("\nRESULT not ended");
        }
        "die" => {
            let group = Mpi::start(Reduction::Exact).unwrap();
            if group.rank() == 1 {
                std::process::abort();
            }
            group.barrier().unwrap();
            println!("\nRESULT not ended");
        }
        task => panic!("no task {task}"),
    }
}

/// Uses every function of the group. Returns a digest of the results.
fn everything(group: &dyn Collective) -> u64 {
    let rank = group.rank();
    let values = |len: usize| {
        (0..len)
            .map(|i| ((rank * 7919 + i * 31) % 1009) as f32 * 1e-3 - 0.3)
            .collect::<Vec<_>>()
    };
    let pending = [5, 3_000, 40_000].map(|len| group.start_sum(values(len)));
    let mut results: Vec<u8> = Vec::new();
    for len in [1, 700, 9_000] {
        let mut sums: Vec<f64> = values(len).into_iter().map(f64::from).collect();
        group.sum(&mut sums).unwrap();
        results.extend(sums.iter().flat_map(|sum| sum.to_le_bytes()));
    }
    for sum in pending {
        results.extend(sum.wait().unwrap().iter().flat_map(|sum| sum.to_le_bytes()));
    }
    results.extend(group.gather(vec![rank as u8; rank + 1]).unwrap().concat());
    results.extend(group.broadcast(vec![rank as u8 + 5; 3]).unwrap());
    group.barrier().unwrap();
    results.iter().fold(14_695_981_039_346_656_037, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211)
    })
}

/// The lines that the processes printed as results.
fn results(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("RESULT "))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[test]
fn processes_get_what_threads_get() {
    for size in [1, 2, 4] {
        let members = LocalGroup::members(size, Reduction::Exact).unwrap();
        let expected: Vec<String> = std::thread::scope(|threads| {
            let digest = |member: LocalGroup| format!("{} {:016x}", member.rank(), everything(&member));
            let running: Vec<_> = members
                .into_iter()
                .map(|member| threads.spawn(move || digest(member)))
                .collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let output = run(size, "everything");
        assert_eq!(results(&output), expected, "{output:?}");
        assert!(output.status.success());
    }
}

#[test]
fn fast_sums_take_any_number_of_processes() {
    let output = run(3, "fast");
    assert_eq!(results(&output), ["0 3", "1 3", "2 3"], "{output:?}");
    assert_eq!(results(&run(3, "three")), ["refused"; 3]);
}

#[test]
fn a_process_that_ends_ends_the_others_and_is_named() {
    let output = run(4, "abort");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && results(&output).is_empty(), "{output:?}");
    assert!(
        text.contains("process 1 ends all 4 processes: the disk is full"),
        "{text}"
    );
    let output = run(2, "die");
    assert!(!output.status.success() && results(&output).is_empty(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("rank 1"), "{text}");
}
