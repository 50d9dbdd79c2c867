//! The program in another part: started again by itself, and told by a variable.

use std::process::ExitCode;
use std::sync::Arc;

use encamp::Kind;
use encamp::helper::{Asked, Helper, Role};

use crate::output;
use crate::variables::Variables;

/// This program, to be started again. One that was removed since it started is told by whoever starts it.
pub(crate) fn this() -> Option<Helper> {
    std::env::current_exe().ok().map(Helper::new)
}

/// Plays the part that was asked for. What goes wrong before it can speak to whoever started it stands on standard error.
pub(crate) fn play(asked: &str, kinds: Vec<Arc<dyn Kind>>, variables: &Variables) -> ExitCode {
    let played = asked.parse().and_then(|asked: Asked| match asked.role {
        #[cfg(target_os = "linux")]
        Role::Shim => Ok(encamp::local::shim(&asked.request)),
        Role::Keeper => encamp::keep(&asked.request, kinds, variables.ambient(), this()).map(|()| ExitCode::SUCCESS),
        role => Err(encamp::Error::new(
            encamp::ErrorKind::Unsupported,
            format!("this program cannot be a {role}"),
        )),
    });
    match played {
        Ok(code) => code,
        Err(error) => {
            output::tell_text(&format!("{}\n", encamp::Report(&error)));
            ExitCode::from(2)
        }
    }
}
