//! How processes find each other without MPI: process 0 writes a file that the others wait for.

use crate::CollectiveError;
use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long a process waits for the file.
const PATIENCE: Duration = Duration::from_secs(300);

/// The place of this process, as its launcher says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) rank: usize,
    pub(crate) size: usize,
    /// The number among the processes of this machine.
    pub(crate) local: usize,
    /// What distinguishes this start from others, as far as the launcher says it.
    pub(crate) start: String,
}

/// The variables of a launcher: rank, number of processes, number on the machine.
const LAUNCHERS: [[&str; 3]; 4] = [
    ["SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"],
    [
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
    ],
    ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"],
    ["RANK", "WORLD_SIZE", "LOCAL_RANK"],
];

/// Variables that distinguish starts.
const STARTS: [&str; 5] = [
    "SLURM_JOB_ID",
    "SLURM_STEP_ID",
    "SLURM_RESTART_COUNT",
    "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_RESTART_COUNT",
];

impl Place {
    /// Reads the variables of the first launcher that has set them.
    pub(crate) fn from_environment() -> Result<Self, CollectiveError> {
        Self::new(|name| env::var(name).ok())
    }

    fn new(variable: impl Fn(&str) -> Option<String>) -> Result<Self, CollectiveError> {
        let number = |name: &str| variable(name)?.parse::<usize>().ok();
        let place = LAUNCHERS.iter().find_map(|[rank, size, local]| {
            let (rank, size) = (number(rank)?, number(size)?);
            (rank < size).then(|| (rank, size, number(local).unwrap_or(0)))
        });
        let (rank, size, local) = place.ok_or_else(|| {
            let names: Vec<String> = LAUNCHERS
                .iter()
                .map(|[rank, size, _]| format!("{rank} and {size}"))
                .collect();
            problem(format!(
                "no launcher says which process this is: none of {} is set",
                names.join(", ")
            ))
        })?;
        let start: Vec<String> = STARTS.iter().filter_map(|name| variable(name)).collect();
        Ok(Self {
            rank,
            size,
            local,
            start: start.join("."),
        })
    }
}

/// Writes `message` for the other processes of this start.
pub(crate) fn write(file: &Path, place: &Place, message: &[u8]) -> Result<(), CollectiveError> {
    match content(file, place) {
        Ok(Some(_)) => {
            return Err(problem(format!(
                "{} is there already, perhaps from a start that failed: remove it",
                file.display()
            )));
        }
        Ok(None) => {}
        Err(error) => return Err(cannot("read", file, &error)),
    }
    let bytes = [place.start.as_bytes(), b"\n", message].concat();
    stompp_files::replace(file, &bytes).map_err(|error| cannot("write", file, &error))
}

/// Waits for the message of process 0.
pub(crate) fn read(file: &Path, place: &Place) -> Result<Vec<u8>, CollectiveError> {
    let end = Instant::now() + PATIENCE;
    loop {
        match content(file, place) {
            Ok(Some(message)) => return Ok(message),
            Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                return Err(problem(format!(
                    "process 0 has not written {} in {} s; every process must see this file",
                    file.display(),
                    PATIENCE.as_secs()
                )));
            }
            Err(error) => return Err(cannot("read", file, &error)),
        }
    }
}

/// Removes the file, after all have read it.
pub(crate) fn end(file: &Path) -> Result<(), CollectiveError> {
    fs::remove_file(file).map_err(|error| cannot("remove", file, &error))
}

/// The message in the file; `None` if there is no file, or one of another start.
fn content(file: &Path, place: &Place) -> io::Result<Option<Vec<u8>>> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let start = [place.start.as_bytes(), b"\n"].concat();
    Ok(bytes.strip_prefix(&start[..]).map(<[u8]>::to_vec))
}

fn cannot(verb: &str, file: &Path, error: &io::Error) -> CollectiveError {
    problem(format!("cannot {verb} {}: {error}", file.display()))
}

fn problem(problem: String) -> CollectiveError {
    CollectiveError::Meeting { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(variables: &[(&str, &str)]) -> Result<Place, CollectiveError> {
        Place::new(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_launcher_says_which_process_this_is() {
        let torch = [("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1")];
        let expected = Place {
            rank: 3,
            size: 4,
            local: 1,
            start: String::new(),
        };
        assert_eq!(place(&torch), Ok(expected));
        let slurm = [
            ("SLURM_PROCID", "1"),
            ("SLURM_NTASKS", "2"),
            ("SLURM_JOB_ID", "77"),
            ("SLURM_RESTART_COUNT", "2"),
        ];
        let of_slurm = place(&slurm).unwrap();
        assert_eq!((of_slurm.rank, of_slurm.size, of_slurm.local), (1, 2, 0));
        assert_eq!(of_slurm.start, "77.2");
        for wrong in [&[][..], &[("RANK", "4"), ("WORLD_SIZE", "4")], &[("RANK", "0")]] {
            let error = place(wrong).unwrap_err().to_string();
            assert!(error.contains("RANK and WORLD_SIZE"), "{error}");
        }
    }

    #[test]
    fn only_the_message_of_this_start_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("id");
        let start = |start: &str| Place {
            rank: 0,
            size: 2,
            local: 0,
            start: start.to_owned(),
        };
        write(&file, &start("7.0"), b"old\nid").unwrap();
        assert_eq!(content(&file, &start("7.1")).unwrap(), None, "of another start");
        let error = write(&file, &start("7.0"), b"new").unwrap_err().to_string();
        assert!(error.contains("remove it"), "{error}");
        write(&file, &start("7.1"), b"new\nid").unwrap();
        assert_eq!(read(&file, &start("7.1")).unwrap(), b"new\nid");
        end(&file).unwrap();
        assert!(end(&file).is_err());
        assert_eq!(content(&file, &start("7.1")).unwrap(), None);
    }
}
