//! Who may know whom: the dependency direction of the rooms.

use cargo_metadata::{DependencyKind, Package};

/// A room, and what its library or binary may depend on.
struct Room {
    name: &'static str,
    /// Rooms that it may know.
    knows: &'static [&'static str],
    /// Whether it may know the tensor library.
    tensors: bool,
}

const fn room(name: &'static str, tensors: bool, knows: &'static [&'static str]) -> Room {
    Room { name, knows, tensors }
}

/// The tensor library, which only the rooms of networks and training may know, and the benchmarks.
const TENSORS: &str = "dfdx";

/// From the ground up: a room knows only rooms above its own line. Tests and benchmarks inside a room may use any room
/// above its line, too.
const ROOMS: &[Room] = &[
    room("stompp-rng", false, &[]),
    room("stompp-files", false, &[]),
    room("stompp-console", false, &[]),
    room("stompp-fetch", false, &["stompp-files"]),
    room("stompp-tensorboard", false, &[]),
    room("stompp-gpu-day", false, &["stompp-console", "stompp-files"]),
    room("stompp-schedule", false, &["stompp-rng"]),
    room("stompp-kernels", false, &["stompp-rng"]),
    room("stompp-data", false, &["stompp-rng", "stompp-files"]),
    room("stompp-cuda", false, &["stompp-kernels"]),
    room("stompp-graph", false, &[]),
    room("stompp-resnet", false, &["stompp-graph"]),
    room("stompp-infer", false, &["stompp-graph"]),
    room("stompp-onnx", false, &["stompp-graph"]),
    room("stompp-nn", true, &["stompp-rng", "stompp-kernels", "stompp-cuda"]),
    room(
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
    room(
        "stompp-train",
        true,
        &[
            "stompp-rng",
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
    room(
        "stompp-cli",
        false,
        &[
            "stompp-console",
            "stompp-fetch",
            "stompp-graph",
            "stompp-infer",
            "stompp-train",
        ],
    ),
    room(
        "stompp-experiments",
        false,
        &["stompp-rng", "stompp-files", "stompp-console", "stompp-train"],
    ),
    room(
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
    room(
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
    room(
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
pub(super) fn breaches(packages: &[Package]) -> Vec<String> {
    packages
        .iter()
        .flat_map(|package| {
            let dependencies = package
                .dependencies
                .iter()
                .map(|dependency| (dependency.name.as_str(), dependency.kind));
            of_room(&package.name, dependencies)
        })
        .collect()
}

/// Every wrong dependency of the package called `name`.
fn of_room<'a>(name: &str, dependencies: impl Iterator<Item = (&'a str, DependencyKind)>) -> Vec<String> {
    let Some(line) = ROOMS.iter().position(|room| room.name == name) else {
        return vec![format!("{name} is not in the table of rooms ({})", file!())];
    };
    let room = &ROOMS[line];
    let allowed = |dependency: &str, kind| {
        if dependency == TENSORS {
            room.tensors
        } else if !is_room(dependency) {
            true
        } else if kind == DependencyKind::Development {
            ROOMS[..line].iter().any(|above| above.name == dependency)
        } else {
            room.knows.contains(&dependency)
        }
    };
    dependencies
        .filter(|&(dependency, kind)| !allowed(dependency, kind))
        .map(|(dependency, _)| format!("{name} must not know {dependency}"))
        .collect()
}

fn is_room(name: &str) -> bool {
    ROOMS.iter().any(|room| room.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use DependencyKind::{Development, Normal};

    #[test]
    fn a_wrong_direction_is_named() {
        let found = |name, dependency, kind| of_room(name, [(dependency, kind)].into_iter());
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
                [format!("{name} must not know {dependency}")]
            );
        }
        assert!(found("stompp-new", "zip", Normal)[0].contains("not in the table"));
    }

    #[test]
    fn tests_of_a_room_may_use_the_rooms_above_its_line() {
        assert_eq!(
            of_room("stompp-resnet", [("stompp-schedule", Development)].into_iter()),
            [""; 0]
        );
        assert_eq!(
            of_room("stompp-resnet", [("stompp-schedule", Normal)].into_iter()),
            ["stompp-resnet must not know stompp-schedule"]
        );
    }

    #[test]
    fn rooms_know_only_rooms_above_them() {
        for (line, room) in ROOMS.iter().enumerate() {
            for known in room.knows {
                let at = ROOMS.iter().position(|other| other.name == *known);
                assert!(at.is_some_and(|at| at < line), "{} knows {known}", room.name);
            }
        }
    }
}
