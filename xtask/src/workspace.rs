//! The folder of the workspace.

use std::{
    env,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// The folder of the workspace's `Cargo.toml`. In a bundle it is the folder of the bundle, from the variable `STOMPP_WORKSPACE`.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let built = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = built.parent().expect("xtask is in the workspace");
        env::var_os("STOMPP_WORKSPACE").map_or_else(|| built.to_owned(), PathBuf::from)
    });
    &ROOT
}
