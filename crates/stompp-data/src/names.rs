//! Names of files and folders that are not data: file managers, operating systems and notebooks create them.

/// Folders of tools whose names do not begin with a dot. Case is ignored.
const TOOL_FOLDERS: [&str; 14] = [
    "__MACOSX",
    "__pycache__",
    "@eaDir",
    "@Recycle",
    "@Recently-Snapshot",
    "@SynoResource",
    "@tmp",
    "#recycle",
    "#snapshot",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    "Network Trash Folder",
    "Temporary Items",
];

/// Files of tools whose names do not begin with a dot. Case is ignored.
const TOOL_FILES: [&str; 4] = ["Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r"];

/// Whether a folder of this name is hidden or belongs to a tool, such as `.ipynb_checkpoints`, `@eaDir` or `__MACOSX`. It is not a class,
/// and nothing in it is an image of the set.
pub(crate) fn is_tool_folder(name: &str) -> bool {
    name.starts_with('.') || TOOL_FOLDERS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether a file of this name is hidden or belongs to a tool.
pub(crate) fn is_tool_file(name: &str) -> bool {
    name.starts_with('.') || TOOL_FILES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The path of the first tool's folder among the folders of `path`, if any.
pub(crate) fn tool_folder(path: &str) -> Option<&str> {
    let mut start = 0;
    while let Some(length) = path[start..].find('/') {
        if is_tool_folder(&path[start..start + length]) {
            return Some(&path[..start + length]);
        }
        start += length + 1;
    }
    None
}

/// The last part of a path.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The path of the folder that holds `path`; empty at the top.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Normalizes the name of an archive member: `/` between its parts, without `.`, `..`, empty parts and Windows' `\`.
pub(crate) fn normalized(name: &str) -> String {
    let mut parts = Vec::new();
    for part in name.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_told_from_classes() {
        for name in [
            ".ipynb_checkpoints",
            ".Trash-1000",
            "@eaDir",
            "__macosx",
            "$Recycle.Bin",
            "lost+found",
        ] {
            assert!(is_tool_folder(name), "{name}");
        }
        for name in ["cat", "n01440764", "_underscore", "@home", "train.d"] {
            assert!(!is_tool_folder(name), "{name}");
        }
        assert!(is_tool_file("thumbs.db") && is_tool_file("._a.jpg") && !is_tool_file("a.jpg"));
    }

    #[test]
    fn the_first_tools_folder_of_a_path_is_found() {
        assert_eq!(tool_folder("dog/@eaDir/a.jpg/x.jpg"), Some("dog/@eaDir"));
        assert_eq!(tool_folder(".git/.git/x"), Some(".git"));
        assert_eq!(tool_folder("dog/.hidden.jpg"), None);
    }

    #[test]
    fn names_of_members_are_normalized() {
        assert_eq!(normalized("./train//cat/a.jpg"), "train/cat/a.jpg");
        assert_eq!(normalized("train\\cat\\a.jpg"), "train/cat/a.jpg");
        assert_eq!(normalized("/train/../val/./b.jpg"), "val/b.jpg");
        assert_eq!(normalized("../x"), "x");
        assert_eq!(
            (file_name("a/b"), parent("a/b"), file_name("a"), parent("a")),
            ("b", "a", "a", "")
        );
    }
}
