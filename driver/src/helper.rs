//! The program in another part: started again by itself, and told by a variable.

use std::process::ExitCode;

use encamp::helper::Asked;

use crate::output;

/// Plays the part that was asked for. What goes wrong before it can speak to whoever started it stands on standard error.
pub(crate) fn play(asked: &str) -> ExitCode {
    let asked: Asked = match asked.parse() {
        Ok(asked) => asked,
        Err(error) => return refuse(&encamp::Report(&error).to_string()),
    };
    refuse(&format!("this program cannot be a {}", asked.role))
}

fn refuse(why: &str) -> ExitCode {
    output::tell_text(why);
    ExitCode::from(2)
}
