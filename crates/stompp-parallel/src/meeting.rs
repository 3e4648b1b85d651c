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

/// The variables of a launcher: rank, number of processes, number on the machine. Slurm is the last one, because it sets its variables also
/// for a launcher that it starts.
const LAUNCHERS: [[&str; 3]; 4] = [
    ["RANK", "WORLD_SIZE", "LOCAL_RANK"],
    [
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
    ],
    ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"],
    ["SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"],
];

/// Variables that distinguish starts.
const STARTS: [&str; 8] = [
    "SLURM_JOB_ID",
    "SLURM_STEP_ID",
    "SLURM_RESTART_COUNT",
    "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_RESTART_COUNT",
    "OMPI_MCA_ess_base_jobid",
    "PMIX_NAMESPACE",
    "MASTER_PORT",
];

/// What the file begins with. Other files are not touched.
const MAGIC: &str = "stompp: the id of processes that train together";

impl Place {
    /// Reads the variables of the first launcher that has set them.
    pub(crate) fn from_environment() -> Result<Self, CollectiveError> {
        Self::new(|name| env::var(name).ok())
    }

    fn new(variable: impl Fn(&str) -> Option<String>) -> Result<Self, CollectiveError> {
        let number = |name: &str| variable(name)?.parse::<usize>().ok();
        let place = LAUNCHERS.iter().find_map(|[rank, size, local]| {
            let (rank, size) = (number(rank)?, number(size)?);
            (rank < size).then_some((rank, size, number(local)?))
        });
        let (rank, size, local) = place.ok_or_else(|| {
            let names: Vec<String> = LAUNCHERS.iter().map(|names| names.join(", ")).collect();
            problem(format!(
                "no launcher says which process this is: it sets {}",
                names.join("; or ")
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
        Ok(Content::None | Content::OfAnotherStart) => {}
        Ok(Content::Message(_)) => {
            return Err(problem(format!(
                "{} is there already, perhaps from a start that failed: remove it",
                file.display()
            )));
        }
        Ok(Content::Other) => {
            return Err(problem(format!(
                "{} is another file; name one that does not exist",
                file.display()
            )));
        }
        Err(error) => return Err(cannot("read", file, &error)),
    }
    let bytes = [head(place).as_bytes(), message].concat();
    stompp_files::replace(file, &bytes).map_err(|error| cannot("write", file, &error))
}

/// Waits for the message of process 0.
pub(crate) fn read(file: &Path, place: &Place) -> Result<Vec<u8>, CollectiveError> {
    let end = Instant::now() + PATIENCE;
    loop {
        match content(file, place) {
            Ok(Content::Message(message)) => return Ok(message),
            Ok(_) if Instant::now() < end => thread::sleep(Duration::from_millis(20)),
            Ok(_) => {
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

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
enum Content {
    /// There is none.
    None,
    /// The message of this start.
    Message(Vec<u8>),
    /// That of another start.
    OfAnotherStart,
    /// A file that this module has not written.
    Other,
}

fn head(place: &Place) -> String {
    format!("{MAGIC}\n{}\n", place.start)
}

fn content(file: &Path, place: &Place) -> io::Result<Content> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::None),
        Err(error) => return Err(error),
    };
    Ok(match bytes.strip_prefix(head(place).as_bytes()) {
        Some(message) => Content::Message(message.to_vec()),
        None if bytes.starts_with(MAGIC.as_bytes()) => Content::OfAnotherStart,
        None => Content::Other,
    })
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
            ("SLURM_LOCALID", "0"),
            ("SLURM_JOB_ID", "77"),
            ("SLURM_RESTART_COUNT", "2"),
        ];
        let of_slurm = place(&slurm).unwrap();
        assert_eq!((of_slurm.rank, of_slurm.size, of_slurm.local), (1, 2, 0));
        assert_eq!(of_slurm.start, "77.2");
        // torchrun in a job of Slurm.
        let both = place(&[&torch[..], &slurm].concat()).unwrap();
        assert_eq!((both.rank, both.size, both.local), (3, 4, 1));
        for wrong in [&[][..], &[("RANK", "4"), ("WORLD_SIZE", "4")], &[("RANK", "0")]] {
            let error = place(wrong).unwrap_err().to_string();
            assert!(error.contains("RANK, WORLD_SIZE, LOCAL_RANK"), "{error}");
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
        assert_eq!(content(&file, &start("7.1")).unwrap(), Content::OfAnotherStart);
        let error = write(&file, &start("7.0"), b"new").unwrap_err().to_string();
        assert!(error.contains("remove it"), "{error}");
        write(&file, &start("7.1"), b"new\nid").unwrap();
        assert_eq!(read(&file, &start("7.1")).unwrap(), b"new\nid");
        end(&file).unwrap();
        assert!(end(&file).is_err());
        assert_eq!(content(&file, &start("7.1")).unwrap(), Content::None);
        fs::write(&file, "a network").unwrap();
        let error = write(&file, &start("7.1"), b"id").unwrap_err().to_string();
        assert!(error.contains("is another file"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), b"a network");
    }
}
