//! Services: supervised processes beside a machine's main one.

use std::time::Duration;

use encamp_core::{Error, ErrorKind, Result};
use encamp_file::spec::{Restart, Service};
use encamp_file::text::{Facts, Viewer};
use tokio_util::sync::CancellationToken;

use crate::command::{self, Line};
use crate::inside::Inside;

/// How long a service may take to be started; not to become ready, which is what `ready` is for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a supervisor that outlives the command that started it, unless one runs: `NAME RESTART COMMAND…`.
///
/// What a service says is in `NAME.log`, how it ended last in `NAME.exit`. TERM to the supervisor, whose number is in
/// `NAME.pid`, ends both.
const SUPERVISE: &str = r#"
name=$1 restart=$2; shift 2
dir=/run/encamp/services
mkdir -p "$dir" 2>/dev/null && [ -w "$dir" ] || dir=/tmp/encamp-services-$(id -u)
mkdir -p "$dir" || exit
if [ -f "$dir/$name.pid" ] && kill -0 "$(cat "$dir/$name.pid")" 2>/dev/null; then exit 0; fi
rm -f "$dir/$name.exit"
supervise() {
  stop= child=
  trap '' HUP INT
  trap 'stop=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM
  while :; do
    "$@" </dev/null >>"$dir/$name.log" 2>&1 &
    child=$!
    wait "$child"; code=$?
    if [ -n "$stop" ]; then wait "$child" 2>/dev/null; break; fi
    echo "$code" >"$dir/$name.exit"
    if [ "$restart" = no ] || [ "$code" -eq 0 ]; then break; fi
    sleep 1
  done
  rm -f "$dir/$name.pid"
}
# By `exec`: a redirected function would keep the old descriptors aside, and whoever started this waits for their end.
(exec </dev/null >/dev/null 2>&1; supervise "$@") &
echo $! >"$dir/$name.pid"
"#;

/// Shows the log of a service, wherever its supervisor could write it: `NAME OPTIONS…` of `tail`.
const LOG: &str = r#"
name=$1; shift
for dir in /run/encamp/services /tmp/encamp-services-*; do
  [ ! -f "$dir/$name.log" ] || exec tail "$@" "$dir/$name.log"
done
exit 1
"#;

/// The command that succeeds where a service was ever started.
pub(crate) fn known(service: &str) -> Vec<String> {
    const KNOWN: &str =
        r#"for dir in /run/encamp/services /tmp/encamp-services-*; do [ ! -f "$dir/$1.log" ] || exit 0; done; exit 1"#;
    ["sh", "-c", KNOWN, "sh", service].map(str::to_owned).into()
}

/// The command that shows what a service has said.
pub(crate) fn log(service: &str, follow: bool, tail: Option<u32>) -> Vec<String> {
    let lines = tail.map_or_else(|| "+1".to_owned(), |lines| lines.to_string());
    let mut argv: Vec<String> = ["sh", "-c", LOG, "sh", service, "-n", &lines].map(str::to_owned).into();
    argv.extend(follow.then(|| "-f".to_owned()));
    argv
}

/// Starts a service, if it does not run.
pub(crate) async fn start(inside: &Inside, service: &Service, facts: &Facts, viewer: &Viewer) -> Result<()> {
    let explain = |error: Error| {
        let error = error.with("service", &service.name);
        match &service.place {
            Some(place) => error.with("place", place),
            None => error,
        }
    };
    let invalid = |text: String| explain(Error::new(ErrorKind::Invalid, text));
    let Line { argv, input } = command::line(&service.command, facts, viewer).map_err(invalid)?;
    if input.is_some() {
        return Err(invalid(
            "a service's command holds a secret, and it would show in the machine's list of processes: give it by `env`, \
             or read it from its file"
                .into(),
        ));
    }
    let restart = match service.restart {
        Restart::No => "no",
        Restart::OnFailure => "on-failure",
    };
    let head = ["sh", "-c", SUPERVISE, "sh", service.name.as_str(), restart];
    let mut exec = encamp_core::Exec::new(inside.target.clone(), head.into_iter().map(str::to_owned).chain(argv));
    exec.env = command::env(&service.env, facts, viewer).map_err(invalid)?;
    let cwd = service.cwd.as_ref().map(|cwd| command::render(cwd, facts, viewer));
    exec.cwd = cwd.transpose().map_err(invalid)?;
    exec.user.clone_from(&service.user);
    let said = inside
        .run(exec, None, PATIENCE, &CancellationToken::new())
        .await
        .map_err(explain)?;
    if said.exit.success() {
        return Ok(());
    }
    let mut error = Error::new(
        ErrorKind::Unavailable,
        format!("the service `{}` could not be started: {}", service.name, said.exit),
    );
    if let Some(line) = said.last_line() {
        error = error.with("said", line);
    }
    Err(explain(error))
}
