//! `encamp shell`: a shell in a machine, with a terminal where there is one.

use encamp::{Command, Machine};

use super::exec::{attach, size};
use crate::arguments::InMachine;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{place, terminal};

/// The user's own shell, else bash, else the one that is everywhere.
const SHELL: &str =
    r#"for shell in "$SHELL" bash sh; do command -v "$shell" >/dev/null 2>&1 && exec "$shell"; done; exit 127"#;

pub(super) async fn shell(cx: &Context, args: &InMachine) -> Result<Exit, Failure> {
    let environment = place::environment(cx, &args.of).await?;
    let machine = place::machine(&environment, &args.machine)?;
    open(cx, environment.name(), &machine, args.user.clone()).await
}

/// Opens one, and ends as it does.
pub(super) async fn open(
    cx: &Context,
    environment: &str,
    machine: &Machine,
    user: Option<String>,
) -> Result<Exit, Failure> {
    let tty = !cx.json && terminal::stdin_is_one() && terminal::stdout_is_one();
    let mut command = Command::new(["sh", "-c", SHELL]);
    command.user = user;
    command.tty = tty.then(size);
    command.stdin = true;
    if let Some(terminal) = cx.terminal.as_ref().filter(|_| tty) {
        command.env.insert("TERM".into(), terminal.clone());
    }
    attach(cx, environment, machine, command).await
}
