//! A verb a file.

mod confirm;
mod down;
mod exec;
mod gc;
mod left;
mod logs;
mod ls;
mod run;
mod show;
mod summary;
mod up;

use crate::arguments::Verb;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;

/// Does what a verb says.
pub(crate) async fn obey(cx: &Context, verb: &Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Run(args) => run::run(cx, args).await,
        Verb::Up(args) => up::up(cx, args).await,
        Verb::Down(args) => down::down(cx, args).await,
        Verb::Ls => ls::ls(cx).await,
        Verb::Show(args) => show::show(cx, args).await,
        Verb::Exec(args) => exec::exec(cx, args).await,
        Verb::Logs(args) => logs::logs(cx, args).await,
        Verb::Gc => gc::gc(cx).await,
    }
}
