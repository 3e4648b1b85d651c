//! Tests of the script: bash runs it, with programs in place of those of Slurm and of `xtask`. `tests/slurm` has the real ones.

use super::*;
use crate::reproduce::tests::Line;
use clap::Parser;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder name that a shell would take apart.
const STRANGE: &str = "it's \"a\" $HOME `ls` \\n %j; *";

/// Runs every task at once, in place of a cluster. Its logs are in the folder that the real `sbatch` would run the task in.
const SBATCH: &str = r#"#!/usr/bin/env bash
set -eu
echo "$*" >>"$STATE/submitted"
id=$(wc -l <"$STATE/submitted")
[ "$id" != "${FAIL_AT-}" ] || exit 1
array= chdir=
while [[ $1 == -* ]]; do
    case $1 in --array=*) array=${1#*=} ;; --chdir=*) chdir=${1#*=} ;; esac
    shift
done
cd "$chdir"
tasks=()
for range in $(tr , ' ' <<<"${array%\%*}"); do
    for ((task = ${range%-*}; task <= ${range#*-}; task++)); do tasks+=("$task"); done
done
for task in "${tasks[@]:-0}"; do
    SLURM_CPUS_PER_TASK=3 SLURM_ARRAY_JOB_ID=$id SLURM_ARRAY_TASK_ID=$task bash "$@" >>"log-$id" 2>&1
done
echo "$id;cluster"
"#;

const SCANCEL: &str = "#!/usr/bin/env bash\necho \"$*\" >>\"$STATE/cancelled\"\n";

/// Does what Slurm does when a task is requeued: sends SIGTERM to all its processes, which are one process group here.
const SCONTROL: &str = r#"#!/usr/bin/env bash
trap '' TERM
echo "$*" >>"$STATE/requeued"
kill -TERM -- "-$PPID"
"#;

/// In place of `xtask`: writes its threads and its arguments to a line of a file.
const XTASK: &str =
    "#!/usr/bin/env bash\n{ printf '%s|' \"${RAYON_NUM_THREADS-}\" \"$@\"; echo; } >>\"$STATE/begun\"\n";

/// A run that ends after SIGTERM, but not at once, and counts the signals.
const RUN: &str = r#"#!/usr/bin/env bash
signals=0
trap 'signals=$((signals + 1))' TERM
echo >"$STATE/begun"
until [ "$signals" -gt 0 ]; do sleep 0.05; done
for _ in 1 2 3 4 5 6; do sleep 0.05; done
echo "$signals" >"$STATE/signals"
exit 143
"#;

/// A folder with a sweep and these programs.
struct Cluster {
    folder: TempDir,
}

impl Cluster {
    fn new(xtask: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Self { folder };
        let programs = [("sbatch", SBATCH), ("scancel", SCANCEL), ("scontrol", SCONTROL)];
        let programs = programs.map(|(name, text)| (cluster.state().join("bin").join(name), text));
        fs::create_dir_all(cluster.state().join("bin")).unwrap();
        fs::create_dir_all(cluster.strange()).unwrap();
        for (file, text) in programs.into_iter().chain([(cluster.xtask(), xtask)]) {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        cluster
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn strange(&self) -> PathBuf {
        self.folder.path().join(STRANGE)
    }

    fn xtask(&self) -> PathBuf {
        self.strange().join("xtask")
    }

    /// Writes the script of `reproduce ARGUMENTS --slurm` for a sweep in the strange folder, and returns it.
    fn script(&self, arguments: &[&str]) -> PathBuf {
        let (options, sweep) = open(arguments, &self.strange());
        let script = Script::new(&options, &self.xtask(), &sweep, sweep.parts(MAX_TASKS)).unwrap();
        let file = self.strange().join(SCRIPT);
        fs::create_dir_all(&script.logs).unwrap();
        fs::write(&file, script.text().unwrap()).unwrap();
        file
    }

    /// The command that runs a script in bash.
    fn bash(&self, script: &Path, arguments: &[&str]) -> Command {
        let path = [self.state().join("bin").into_os_string(), env::var_os("PATH").unwrap()];
        let mut bash = Command::new("bash");
        bash.arg(script)
            .args(arguments)
            .env("PATH", env::join_paths(path.iter().flat_map(env::split_paths)).unwrap())
            .env("STATE", self.state())
            .env_remove("RAYON_NUM_THREADS");
        bash
    }

    fn submit(&self, script: &Path, arguments: &[&str], fail_at: &str) -> Output {
        self.bash(script, arguments).env("FAIL_AT", fail_at).output().unwrap()
    }

    /// The lines of a file that the programs write.
    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.state().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Starts task 3 of job 7, and waits until its run has begun.
    fn start_task(&self, script: &Path) -> Child {
        let mut bash = self.bash(script, &["run"]);
        let bash = bash
            .env("SLURM_ARRAY_JOB_ID", "7")
            .env("SLURM_ARRAY_TASK_ID", "3")
            .stderr(Stdio::null());
        let task = bash.process_group(0).spawn().unwrap();
        let begun = Instant::now();
        while !self.state().join("begun").exists() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the run does not begin");
            sleep(Duration::from_millis(20));
        }
        task
    }
}

fn open(arguments: &[&str], out: &Path) -> (Options, Sweep) {
    let words = ["reproduce"].iter().chain(arguments).chain(&["--out"]);
    let words = words.map(OsString::from).chain([out.as_os_str().to_owned()]);
    let options = Line::parse_from(words).options;
    let setup = options.setup().unwrap();
    let sweep = Sweep::open(options.experiments(&setup), setup, options.sweep()).unwrap();
    (options, sweep)
}

fn send(signal: &str, to: &str) {
    assert!(
        Command::new("kill")
            .args([signal, "--", to])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn each_run_is_trained_once_after_the_runs_it_needs_and_the_report_is_last() {
    let cluster = Cluster::new(XTASK);
    let script = cluster.script(&["pretrained", "--jobs", "2"]);
    let output = cluster.submit(&script, &["--time=60", "--comment=a b"], "");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).split('.').next(),
        Some("Submitted as 1:2:3")
    );

    let logs = cluster.strange().join("smoke/pretrained/slurm");
    let options = "--parsable --time=60 --comment=a b";
    let submitted = [
        format!(
            "{options} --array=1-8%2 --chdir={} {} run",
            logs.display(),
            script.display()
        ),
        format!(
            "{options} --array=9-14%2 --chdir={} --dependency=afterany:1 {} run",
            logs.display(),
            script.display()
        ),
        format!(
            "{options} --chdir={} --dependency=afterany:1:2 {} report",
            logs.display(),
            script.display()
        ),
    ];
    assert_eq!(cluster.lines("submitted"), submitted);

    let out = cluster.strange().display().to_string();
    let sweep = format!("|reproduce|pretrained|--preset|smoke|--seeds|1|--out|{out}|--archive|{out}/archive|");
    let mut begun: Vec<_> = (1..=14)
        .map(|part| format!("3{sweep}--jobs|1|--shard|{part}/14|"))
        .collect();
    begun.push(format!("{sweep}--merge|{out}|"));
    assert_eq!(cluster.lines("begun"), begun);
}

#[test]
fn more_runs_than_tasks_are_shared_among_the_tasks() {
    let (_, sweep) = open(&["pretrained", "--seeds", "100"], Path::new("none"));
    let lists = sweep.parts(MAX_TASKS);
    assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), [800, 600]);
    let cluster = Cluster::new(XTASK);
    let script = cluster.script(&["pretrained", "--seeds", "100", "--only", "resnet8"]);
    let script = fs::read_to_string(script).unwrap();
    for part in [
        "cluster: 700 runs in 2 arrays, one after the other, of ",
        " tasks in total (an array has at most 1000); then a job",
        "\nparts=1000\n",
        " --only resnet8)\n",
    ] {
        assert!(script.contains(part), "{part}\n{script}");
    }
}

#[test]
fn every_script_is_valid_bash() {
    let cluster = Cluster::new(XTASK);
    for arguments in [
        &["table1"][..],
        &["all", "--seeds", "40", "--jobs", "9"],
        &["table1", "--only", "* , *seed0"],
    ] {
        let script = cluster.script(arguments);
        let check = Command::new("bash").arg("-n").arg(&script).output().unwrap();
        assert!(check.status.success() && check.stderr.is_empty(), "{check:?}");
    }
}

#[test]
fn a_submission_that_fails_half_way_is_taken_back() {
    let cluster = Cluster::new(XTASK);
    let script = cluster.script(&["pretrained"]);
    let output = cluster.submit(&script, &[], "3");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "error: nothing is submitted\n");
    assert_eq!(cluster.lines("cancelled"), ["1 2"]);
}

#[test]
fn a_run_gets_sigterm_once_and_its_task_waits_for_it() {
    let cluster = Cluster::new(RUN);
    let script = cluster.script(&["table1"]);
    let mut task = cluster.start_task(&script);
    send("-TERM", &format!("-{}", task.id())); // As Slurm does: to every process of the task.
    assert_eq!(task.wait().unwrap().code(), Some(143));
    assert_eq!(cluster.lines("signals"), ["1"]);
    assert_eq!(cluster.lines("requeued"), [""; 0]);
}

#[test]
fn a_task_at_its_time_limit_is_requeued() {
    let cluster = Cluster::new(RUN);
    let script = cluster.script(&["table1"]);
    let mut task = cluster.start_task(&script);
    send("-USR1", &task.id().to_string()); // As Slurm does: to the shell only.
    assert_eq!(task.wait().unwrap().code(), Some(143));
    assert_eq!(cluster.lines("signals"), ["1"]);
    assert_eq!(cluster.lines("requeued"), ["requeue 7_3"]);
}

#[test]
fn the_exit_code_of_a_task_is_that_of_its_run() {
    let cluster = Cluster::new("#!/usr/bin/env bash\nexit 3\n");
    let script = cluster.script(&["table1"]);
    let status = cluster.bash(&script, &["run"]).env("SLURM_ARRAY_TASK_ID", "1").status();
    assert_eq!(status.unwrap().code(), Some(3));
}

#[test]
fn numbers_are_ranges() {
    let parts = |numbers: &[usize]| -> Vec<Shard> {
        let shards = numbers.iter().map(|number| format!("{number}/20").parse().unwrap());
        shards.collect()
    };
    assert_eq!(task_numbers(&parts(&[1, 2, 3, 5, 7, 8])), "1-3,5,7-8");
    assert_eq!(task_numbers(&parts(&[20])), "20");
}

#[test]
fn the_script_is_in_the_folder_of_the_report_and_calls_this_program() {
    let cluster = Cluster::new(XTASK);
    let (options, sweep) = open(&["table1"], &cluster.strange());
    write(&options, &sweep).unwrap();
    let folder = cluster.strange().join("smoke/table1");
    let text = fs::read_to_string(folder.join("slurm.sh")).unwrap();
    let program = env::current_exe().unwrap();
    assert!(
        text.contains(&format!("\nreproduce=({} reproduce table1 ", program.display())),
        "{text}"
    );
    assert!(
        folder.join("slurm").is_dir(),
        "Slurm does not create the folder of the logs"
    );
}

#[test]
fn a_path_that_is_no_text_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let (options, sweep) = open(&["table1"], &folder.path().join(OsString::from_vec(b"\xff".to_vec())));
    let error = write(&options, &sweep).unwrap_err();
    assert!(
        error.is::<UsageError>() && error.to_string().contains("UTF-8"),
        "{error}"
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing is left behind"
    );
}
