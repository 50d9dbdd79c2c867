//! A verb a file.

mod completions;
mod confirm;
mod cp;
mod doctor;
mod down;
mod exec;
mod explain;
mod extend;
mod forward;
mod gc;
mod init;
mod left;
mod logs;
mod ls;
mod plan;
mod provider;
mod recover;
mod run;
mod schema;
mod shell;
mod show;
mod summary;
mod sync;
mod touch;
mod trust;
mod unreached;
mod up;
mod validate;

use crate::arguments::{Provider, Verb};
use crate::context::{Context, Desk};
use crate::exit::Exit;
use crate::failure::Failure;

pub(crate) use self::completions::completions;
pub(crate) use self::explain::explain;

/// Does what a verb says that touches no store; none where it is another.
pub(crate) fn without_store(desk: &Desk, verb: &Verb) -> Option<Result<Exit, Failure>> {
    match verb {
        Verb::Init(args) => Some(init::init(desk, args)),
        Verb::Provider(Provider::New(args)) => Some(provider::new(desk, args)),
        Verb::Schema => Some(schema::schema(desk)),
        Verb::Validate(args) => Some(validate::validate(desk, args)),
        _ => None,
    }
}

/// Does what a verb says that needs the store.
pub(crate) async fn obey(cx: &Context, verb: &Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Plan(args) => plan::plan(cx, args).await,
        Verb::Run(args) => run::run(cx, args).await,
        Verb::Up(args) => Box::pin(up::up(cx, &args.file)).await,
        Verb::Down(args) => down::down(cx, args).await,
        Verb::Extend(args) => extend::extend(cx, args).await,
        Verb::Ls => ls::ls(cx).await,
        Verb::Show(args) => show::show(cx, args).await,
        Verb::Exec(args) => exec::exec(cx, args).await,
        Verb::Shell(args) => shell::shell(cx, args).await,
        Verb::Cp(args) => cp::cp(cx, args).await,
        Verb::Forward(args) => forward::forward(cx, args).await,
        Verb::Logs(args) => logs::logs(cx, args).await,
        Verb::Stop(args) => touch::stop(cx, args).await,
        Verb::Start(args) => touch::start(cx, args).await,
        Verb::Sync(args) => sync::sync(cx, args).await,
        Verb::Gc => gc::gc(cx).await,
        Verb::Recover => recover::recover(cx).await,
        Verb::Doctor => doctor::doctor(cx).await,
        Verb::Trust(args) => trust::trust(cx, args).await,
        Verb::Provider(Provider::Ls) => provider::ls(cx).await,
        Verb::Provider(Provider::Check(args)) => Box::pin(provider::check(cx, args)).await,
        // These have been obeyed before a store was opened.
        Verb::Init(_)
        | Verb::Provider(Provider::New(_))
        | Verb::Schema
        | Verb::Validate(_)
        | Verb::Explain(_)
        | Verb::Completions(_) => Ok(Exit::Well),
    }
}
