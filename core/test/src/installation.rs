//! The one installation of a test program.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use encamp::{Ambient, Encamp, Result};

use crate::helper::{self, Setup};

/// The variable that says where state is, instead of Cargo's target folder.
const STATE: &str = "ENCAMP_TEST_STATE";
/// What Cargo marks its target folder with.
const MARK: &str = "CACHEDIR.TAG";

static OPEN: OnceLock<Result<Encamp>> = OnceLock::new();

/// The installation, opened by whoever comes first.
pub(crate) fn open(setup: &Setup) -> Result<&'static Encamp> {
    let opened = OPEN.get_or_init(|| opened(setup));
    opened.as_ref().map_err(Clone::clone)
}

fn opened(setup: &Setup) -> Result<Encamp> {
    let ambient = Ambient::of_process();
    let mut builder = Encamp::builder()
        .state_dir(state(&ambient, setup.folder))
        .runtime_dir(runtime(&ambient));
    if let Some(user) = ["USER", "LOGNAME"].iter().find_map(|name| ambient.variable(name)) {
        builder = builder.user(user);
    }
    if let Some(helper) = helper::helper(&ambient) {
        builder = builder.helper(helper);
    }
    for kind in setup.kinds() {
        builder = builder.provider(kind);
    }
    builder.ambient(ambient).open()
}

/// All test programs of one target folder share their state, so that they can share environments, and so that what one of
/// them has left is found by the next.
fn state(ambient: &Ambient, temporary: Option<&str>) -> PathBuf {
    if let Some(state) = ambient.variable(STATE).filter(|state| !state.is_empty()) {
        return state.into();
    }
    let temporary = temporary.map_or_else(beside_this_program, PathBuf::from);
    temporary.join("encamp")
}

/// The same folder for tests that Cargo does not tell: those of `src`.
fn beside_this_program() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let folder = program.parent().unwrap_or(Path::new("."));
    let target = program.ancestors().find(|folder| folder.join(MARK).is_file());
    target.unwrap_or(folder).join("tmp")
}

/// Where secrets lie that machines get as files: in memory.
fn runtime(ambient: &Ambient) -> PathBuf {
    let folder = ambient.variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    match folder.filter(|folder| folder.is_absolute()) {
        Some(folder) => folder.join("encamp"),
        None => PathBuf::from(format!("/dev/shm/encamp-{}", rustix::process::getuid().as_raw())),
    }
}
