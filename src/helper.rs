//! The program that is started again in another part: as keeper of an environment, or as shim of a sandbox.
//!
//! A library's user names one to [`Builder::helper`](crate::Builder::helper): [`find`] an installed `encamp`, or let the
//! own program be it by calling [`run_if_asked`] first thing in `main`. Test programs get theirs from `encamp-test`.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;

pub use encamp_core::helper::*;

use crate::{Ambient, Error, ErrorKind, Kind, Report, Result, builtin_kinds};

/// The `encamp` that stands on the `PATH` of `ambient` and speaks this version of the helper's protocol.
pub fn find(ambient: &Ambient) -> Option<Helper> {
    let path = ambient.variable("PATH")?;
    std::env::split_paths(path).find_map(|folder| that(&folder.join("encamp")))
}

/// The program at that path, if it can be a helper.
pub fn that(program: &Path) -> Option<Helper> {
    let helper = Helper::new(PathBuf::from(program));
    let mut asking = helper.command(Role::Probe, Path::new("-"));
    asking.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    asking.status().ok()?.success().then_some(helper)
}

/// This program, to be started again.
pub fn this() -> Option<Helper> {
    std::env::current_exe().ok().map(Helper::new)
}

/// Plays the part that was asked for, with these kinds. To be called before the program has started a thread.
pub fn play(asked: &Asked, kinds: Vec<Arc<dyn Kind>>, ambient: Ambient, again: Option<Helper>) -> Result<ExitCode> {
    match asked.role {
        Role::Probe => Ok(ExitCode::SUCCESS),
        #[cfg(all(feature = "local", target_os = "linux"))]
        Role::Shim => Ok(encamp_provider_local::shim(&asked.request)),
        Role::Keeper => crate::keep(&asked.request, kinds, ambient, again).map(|()| ExitCode::SUCCESS),
        role => Err(Error::new(
            ErrorKind::Unsupported,
            format!("this program cannot be a {role}"),
        )),
    }
}

/// Plays the part that this process was started for and ends it, with this build's own kinds; returns at once where it
/// was started for something else. To be called first thing in `main`.
pub fn run_if_asked() {
    run_if_asked_with(Vec::new());
}

/// The same with more kinds.
pub fn run_if_asked_with(kinds: Vec<Arc<dyn Kind>>) {
    let ambient = Ambient::of_process();
    if let Some(asked) = ambient.variable(VARIABLE).map(ToOwned::to_owned) {
        let all = builtin_kinds().into_iter().chain(kinds).collect();
        end(run(&asked, all, ambient));
    }
}

/// What goes wrong before it can speak to whoever started it stands on standard error.
fn run(asked: &str, kinds: Vec<Arc<dyn Kind>>, ambient: Ambient) -> i32 {
    let played = asked
        .parse()
        .and_then(|asked: Asked| play(&asked, kinds, ambient, this()));
    match played {
        Ok(code) => i32::from(code != ExitCode::SUCCESS),
        Err(error) => {
            tell(&error);
            2
        }
    }
}

#[expect(clippy::print_stderr, reason = "nobody else is there to be told")]
fn tell(error: &Error) {
    eprintln!("{}", Report(error));
}

#[expect(clippy::exit, reason = "the process is there for this part alone")]
fn end(code: i32) -> ! {
    std::process::exit(code)
}
