//! What the launcher says: how many processes it started, and which of them share cores.

use crate::{Collective, CollectiveError};
use std::collections::HashMap;
use std::{env, fs};

/// The number of processes that a launcher started together with this one, as its environment says; `None` if it says nothing.
///
/// This reads the variables of Open MPI, of MPICH and Intel MPI, and of Slurm's `srun` with PMI or PMIx. It needs no MPI library.
pub fn launched_processes() -> Option<usize> {
    let number = |name: &str| env::var(name).ok()?.parse().ok();
    let of_srun = || number("SLURM_STEP_NUM_TASKS").filter(|_| env::var_os("PMIX_RANK").is_some());
    number("OMPI_COMM_WORLD_SIZE")
        .or_else(|| number("PMI_SIZE"))
        .or_else(of_srun)
}

/// The number of processes of the group that may run on exactly the cores of this one, with itself. They should divide the cores.
///
/// # Errors
/// The errors of [`Collective::gather`].
pub fn processes_on_these_cores(group: &dyn Collective) -> Result<usize, CollectiveError> {
    if group.size() == 1 {
        return Ok(1);
    }
    let own = cores().into_bytes();
    let mut counts: HashMap<Vec<u8>, usize> = HashMap::new();
    for cores in group.gather(own.clone())? {
        *counts.entry(cores).or_default() += 1;
    }
    Ok(counts[&own])
}

/// The number of this process among those of the group on its machine, from 0.
///
/// # Errors
/// The errors of [`Collective::gather`].
pub fn rank_on_this_machine(group: &dyn Collective) -> Result<usize, CollectiveError> {
    if group.size() == 1 {
        return Ok(0);
    }
    let own = machine().into_bytes();
    let machines = group.gather(own.clone())?;
    Ok(machines[..group.rank()]
        .iter()
        .filter(|machine| **machine == own)
        .count())
}

/// This machine, as Linux names it since its last start. The same text in every process on other systems.
fn machine() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// The machine and the cores of this process, as Linux names them. The same text in every process on other systems.
fn cores() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let cores = status.lines().find(|line| line.starts_with("Cpus_allowed_list:"));
    format!("{}{}", machine(), cores.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LocalGroup, Reduction, Solo};

    #[test]
    fn threads_of_one_process_share_its_cores() {
        assert_eq!(processes_on_these_cores(&Solo), Ok(1));
        let members = LocalGroup::members(2, Reduction::Exact).unwrap();
        std::thread::scope(|threads| {
            for member in members {
                threads.spawn(move || assert_eq!(processes_on_these_cores(&member), Ok(2)));
            }
        });
    }

    #[test]
    fn processes_of_a_machine_are_numbered_in_order() {
        assert_eq!(rank_on_this_machine(&Solo), Ok(0));
        let members = LocalGroup::members(4, Reduction::Exact).unwrap();
        std::thread::scope(|threads| {
            for member in members {
                threads.spawn(move || assert_eq!(rank_on_this_machine(&member), Ok(member.rank())));
            }
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_cores_have_a_name() {
        assert!(cores().contains("Cpus_allowed_list"), "{}", cores());
    }
}
