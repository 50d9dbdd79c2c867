//! The program in another part: started again by itself, and told by a variable.

use std::process::ExitCode;
use std::sync::Arc;

use encamp::helper::Asked;
use encamp::{Kind, helper};

use crate::output;
use crate::variables::Variables;

/// Whether what is asked for is a keeper.
pub(crate) fn is_keeper(asked: &str) -> bool {
    asked
        .parse()
        .is_ok_and(|asked: Asked| asked.role == helper::Role::Keeper)
}

/// Plays the part that was asked for. What goes wrong before it can speak to whoever started it stands on standard error.
pub(crate) fn play(asked: &str, kinds: Vec<Arc<dyn Kind>>, variables: &Variables) -> ExitCode {
    let played = asked
        .parse()
        .and_then(|asked: Asked| helper::play(&asked, kinds, variables.ambient(), helper::this()));
    match played {
        Ok(code) => code,
        Err(error) => {
            output::tell_text(&format!("{}\n", encamp::Report(&error)));
            ExitCode::from(2)
        }
    }
}
