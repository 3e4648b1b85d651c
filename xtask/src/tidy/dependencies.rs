//! Which crate may depend on which: the table of allowed dependencies between the crates of this workspace.

use cargo_metadata::{DependencyKind, Package};

/// A crate, and what its library or binary may depend on.
struct AllowedDependencies {
    name: &'static str,
    /// Crates of this workspace that it may depend on.
    crates: &'static [&'static str],
    /// Whether it may depend on the tensor library.
    tensors: bool,
}

const fn allow(name: &'static str, tensors: bool, crates: &'static [&'static str]) -> AllowedDependencies {
    AllowedDependencies { name, crates, tensors }
}

/// The tensor library. Only the crates for networks and training, and the benchmarks, may depend on it.
const TENSORS: &str = "dfdx";

/// The allowed dependencies, in order: a crate may depend only on crates above it. Its tests and benchmarks may use any crate above it.
const ALLOWED: &[AllowedDependencies] = &[
    allow("stompp-rng", false, &[]),
    allow("stompp-files", false, &[]),
    allow("stompp-console", false, &[]),
    allow("stompp-fetch", false, &["stompp-files"]),
    allow("stompp-tensorboard", false, &[]),
    allow("stompp-gpu-day", false, &["stompp-console", "stompp-files"]),
    allow("stompp-schedule", false, &[]),
    allow("stompp-kernels", false, &[]),
    allow("stompp-data", false, &["stompp-rng", "stompp-files"]),
    allow("stompp-cuda", false, &["stompp-kernels"]),
    allow("stompp-parallel", false, &["stompp-files", "stompp-cuda"]),
    allow("stompp-graph", false, &[]),
    allow("stompp-resnet", false, &["stompp-graph"]),
    allow("stompp-infer", false, &["stompp-graph"]),
    allow("stompp-onnx", false, &["stompp-graph"]),
    allow(
        "stompp-nn",
        true,
        &["stompp-parallel", "stompp-rng", "stompp-kernels", "stompp-cuda"],
    ),
    allow(
        "stompp-binarize",
        true,
        &[
            "stompp-rng",
            "stompp-kernels",
            "stompp-cuda",
            "stompp-graph",
            "stompp-nn",
            "stompp-schedule",
        ],
    ),
    allow(
        "stompp-train",
        true,
        &[
            "stompp-rng",
            "stompp-parallel",
            "stompp-schedule",
            "stompp-kernels",
            "stompp-files",
            "stompp-tensorboard",
            "stompp-data",
            "stompp-graph",
            "stompp-infer",
            "stompp-onnx",
            "stompp-nn",
            "stompp-binarize",
            "stompp-resnet",
        ],
    ),
    allow(
        "stompp-cli",
        false,
        &[
            "stompp-parallel",
            "stompp-console",
            "stompp-fetch",
            "stompp-graph",
            "stompp-infer",
            "stompp-train",
        ],
    ),
    allow(
        "stompp-experiments",
        false,
        &["stompp-rng", "stompp-files", "stompp-console", "stompp-train"],
    ),
    allow(
        "stompp-examples",
        false,
        &[
            "stompp-schedule",
            "stompp-data",
            "stompp-graph",
            "stompp-nn",
            "stompp-binarize",
            "stompp-train",
            "stompp-experiments",
        ],
    ),
    allow(
        "xtask",
        true,
        &[
            "stompp-rng",
            "stompp-files",
            "stompp-console",
            "stompp-graph",
            "stompp-infer",
            "stompp-onnx",
            "stompp-kernels",
            "stompp-nn",
            "stompp-binarize",
            "stompp-resnet",
            "stompp-train",
            "stompp-experiments",
        ],
    ),
    allow(
        "stompp-tests",
        true,
        &[
            "stompp-rng",
            "stompp-schedule",
            "stompp-kernels",
            "stompp-data",
            "stompp-infer",
            "stompp-nn",
            "stompp-binarize",
            "stompp-resnet",
            "stompp-train",
            "stompp-cli",
        ],
    ),
];

/// Every dependency that points the wrong way, and every package without a line in the table.
pub(super) fn violations(packages: &[Package]) -> Vec<String> {
    packages
        .iter()
        .flat_map(|package| {
            let dependencies = package
                .dependencies
                .iter()
                .map(|dependency| (dependency.name.as_str(), dependency.kind));
            package_violations(&package.name, dependencies)
        })
        .collect()
}

/// Every wrong dependency of the package called `name`.
fn package_violations<'a>(name: &str, dependencies: impl Iterator<Item = (&'a str, DependencyKind)>) -> Vec<String> {
    let Some(line) = ALLOWED.iter().position(|entry| entry.name == name) else {
        return vec![format!("{name} is not in the table of crates ({})", file!())];
    };
    let entry = &ALLOWED[line];
    let allowed = |dependency: &str, kind| {
        if dependency == TENSORS {
            entry.tensors
        } else if !is_workspace_crate(dependency) {
            true
        } else if kind == DependencyKind::Development {
            ALLOWED[..line].iter().any(|above| above.name == dependency)
        } else {
            entry.crates.contains(&dependency)
        }
    };
    dependencies
        .filter(|&(dependency, kind)| !allowed(dependency, kind))
        .map(|(dependency, _)| format!("{name} must not depend on {dependency}"))
        .collect()
}

fn is_workspace_crate(name: &str) -> bool {
    ALLOWED.iter().any(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use DependencyKind::{Development, Normal};

    #[test]
    fn a_wrong_direction_is_named() {
        let found = |name, dependency, kind| package_violations(name, [(dependency, kind)].into_iter());
        assert_eq!(found("stompp-data", "stompp-rng", Normal), [""; 0]);
        assert_eq!(found("stompp-data", "zip", Normal), [""; 0]);
        let wrong = [
            ("stompp-data", "dfdx", Normal),
            ("stompp-kernels", "dfdx", Development),
            ("stompp-nn", "stompp-schedule", Normal),
            ("stompp-schedule", "stompp-train", Development),
            ("stompp-train", "xtask", Normal),
        ];
        for (name, dependency, kind) in wrong {
            assert_eq!(
                found(name, dependency, kind),
                [format!("{name} must not depend on {dependency}")]
            );
        }
        assert!(found("stompp-new", "zip", Normal)[0].contains("not in the table"));
    }

    #[test]
    fn tests_of_a_crate_may_use_the_crates_above_its_line() {
        assert_eq!(
            package_violations("stompp-resnet", [("stompp-schedule", Development)].into_iter()),
            [""; 0]
        );
        assert_eq!(
            package_violations("stompp-resnet", [("stompp-schedule", Normal)].into_iter()),
            ["stompp-resnet must not depend on stompp-schedule"]
        );
    }

    #[test]
    fn crates_depend_only_on_crates_above_them() {
        for (line, entry) in ALLOWED.iter().enumerate() {
            for dependency in entry.crates {
                let at = ALLOWED.iter().position(|other| other.name == *dependency);
                assert!(at.is_some_and(|at| at < line), "{} depends on {dependency}", entry.name);
            }
        }
    }
}
