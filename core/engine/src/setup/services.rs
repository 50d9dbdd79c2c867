//! Services: supervised processes beside a machine's main one.

use std::collections::BTreeMap;
use std::time::Duration;

use encamp_core::{Error, ErrorKind, Result};
use encamp_file::spec::{Restart, Service};
use encamp_file::text::{Facts, Viewer};
use tokio_util::sync::CancellationToken;

use crate::command::{self, Line};
use crate::inside::Inside;
use crate::journal::IntentRow;

/// How long a service may take to be started; not to become ready, which is what `ready` is for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take to begin to ask services to end.
const BEGIN: Duration = Duration::from_secs(5);

/// What the scripts have in common. `folder` says where this user's supervisors keep their files: where machines share the
/// files of a host, each has a folder of its own instead of `/run/encamp`, and says so by `ENCAMP_RUN`. `lives` says whether
/// the supervisor of a file lives, which names it by its number, `pid` then, and when it began: numbers pass on to others,
/// and that of one that nobody waited for stays behind as a zombie.
const COMMON: &str = r#"
folder() {
  dir=${ENCAMP_RUN:-/run/encamp}/services
  [ -w "$dir" ] || dir=/tmp/encamp-services-$(id -u)
}
lives() {
  { read -r pid then <"$1" && read -r stat <"/proc/$pid/stat"; } 2>/dev/null || return 1
  set -- ${stat##*) }
  [ "$1" != Z ] && shift 19 && [ "$1" = "$then" ]
}
"#;

/// Starts a supervisor that outlives the command that started it, unless one runs: `NAME RESTART COMMAND…`.
///
/// What a service says is in `NAME.log`, how it ended in `NAME.exit`. TERM to the supervisor, which `NAME.pid` names, ends
/// both; it is as it should be where there is `NAME.asked`.
const SUPERVISE: &str = r#"
name=$1 restart=$2; shift 2
mkdir -p "${ENCAMP_RUN:-/run/encamp}/services" 2>/dev/null
folder
mkdir -p "$dir" || exit
lives "$dir/$name.pid" && exit 0
rm -f "$dir/$name.asked"
supervise() {
  stop= child=
  trap '' HUP INT
  trap 'stop=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM
  while [ -z "$stop" ]; do
    rm -f "$dir/$name.exit"
    "$@" </dev/null >>"$dir/$name.log" 2>&1 &
    child=$!
    # TERM may have come before its number was known; and with TERM a `wait` ends before the child.
    [ -z "$stop" ] || kill -TERM "$child" 2>/dev/null
    wait "$child"; code=$?
    while [ -n "$stop" ] && kill -0 "$child" 2>/dev/null; do wait "$child" 2>/dev/null; done
    child=
    [ -z "$stop" ] || break
    echo "$code" >"$dir/$name.exit"
    if [ "$restart" = no ] || [ "$code" -eq 0 ]; then break; fi
    sleep 1
  done
  [ -z "$stop" ] || [ -f "$dir/$name.asked" ] || echo 143 >"$dir/$name.exit"
  rm -f "$dir/$name.pid"
}
# By `exec`: a redirected function would keep the old descriptors aside, and whoever started this waits for their end.
(exec </dev/null >/dev/null 2>&1; supervise "$@") &
{ read -r stat <"/proc/$!/stat" && set -- ${stat##*) } && shift 19; } 2>/dev/null || set -- none
echo "$! $1" >"$dir/$name.pid"
"#;

/// Shows the log of a service, wherever its supervisor could write it: `NAME OPTIONS…` of `tail`.
const LOG: &str = r#"
name=$1; shift
for dir in "${ENCAMP_RUN:-/run/encamp}"/services /tmp/encamp-services-*${ENCAMP_RUN:+/none}; do
  [ ! -f "$dir/$name.log" ] || exec tail "$@" "$dir/$name.log"
done
exit 1
"#;

/// Asks services to end and waits until they have: `SECONDS NAME…`. The supervisor's file goes when it ends; its number
/// may stay behind as a zombie, where nobody waits for orphans.
const END: &str = r#"
left=$(( $1 * 10 )); shift
files=
folder
for name; do
  file=$dir/$name.pid
  lives "$file" || continue
  true >"$dir/$name.asked"
  kill -TERM "$pid" 2>/dev/null && files="$files $file"
done
while [ "$left" -gt 0 ]; do
  there=
  for file in $files; do [ ! -f "$file" ] || there=1; done
  [ -n "$there" ] || exit 0
  if sleep 0.1 2>/dev/null; then left=$((left - 1)); else sleep 1; left=$((left - 10)); fi
done
exit 1
"#;

/// Says which services have ended and do not come again, and with what: `NAME…`. A supervisor that was killed took its
/// service's status with it.
const ENDED: &str = r#"
folder
for name; do
  lives "$dir/$name.pid" && continue
  if [ -f "$dir/$name.exit" ]; then echo "$name $(cat "$dir/$name.exit")"
  elif [ -f "$dir/$name.pid" ]; then echo "$name 137"
  fi
done
"#;

/// A service that ended by itself, and not well.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Dead {
    /// Its name.
    pub service: String,
    /// The status that it exited with; beyond 128 a signal.
    pub code: i32,
}

/// Asks the services of a machine to end before it goes or stops, and gives them `grace`. What does not answer goes with
/// its machine.
pub(crate) async fn end(inside: &Inside, row: &IntentRow, grace: Duration) {
    let seconds = grace.as_secs();
    if seconds == 0 || row.services.is_empty() || row.stopped || row.id.is_none() {
        return;
    }
    let asking = by_user(row).into_iter().map(|(user, names)| {
        let script = [COMMON, END].concat();
        let head = ["sh", "-c", &script, "sh"].map(str::to_owned).into_iter();
        let argv = head
            .chain([seconds.to_string()])
            .chain(names.into_iter().map(str::to_owned));
        let mut exec = encamp_core::Exec::new(inside.target.clone(), argv);
        exec.user.clone_from(user);
        async move {
            let stop = CancellationToken::new();
            match inside.run(exec, None, grace + BEGIN, &stop).await {
                Ok(said) if said.exit.success() => {}
                Ok(said) => {
                    tracing::debug!(machine = row.object, exit = %said.exit, "its services did not end in time");
                }
                Err(error) => tracing::debug!(machine = row.object, %error, "its services could not be asked to end"),
            }
        }
    });
    futures_util::future::join_all(asking).await;
}

/// The services of a machine by whom they run as, who alone may always ask after them.
fn by_user(row: &IntentRow) -> BTreeMap<&Option<String>, Vec<&str>> {
    let mut by_user: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, user) in &row.services {
        by_user.entry(user).or_default().push(name.as_str());
    }
    by_user
}

/// The services of a machine that ended by themselves and not with 0.
pub(crate) async fn dead(inside: &Inside, row: &IntentRow, within: Duration) -> Result<Vec<Dead>> {
    let asking = by_user(row).into_iter().map(|(user, names)| async move {
        let script = [COMMON, ENDED].concat();
        let head = ["sh", "-c", &script, "sh"].into_iter().chain(names);
        let mut exec = encamp_core::Exec::new(inside.target.clone(), head.map(str::to_owned));
        exec.user.clone_from(user);
        inside.run(exec, None, within, &CancellationToken::new()).await
    });
    let said = futures_util::future::try_join_all(asking).await?;
    let dead = said.iter().flat_map(|said| said.text.lines()).filter_map(|line| {
        let (service, code) = line.split_once(' ')?;
        let code = code.trim().parse().ok()?;
        let known = code != 0 && row.services.contains_key(service);
        known.then(|| Dead {
            service: service.to_owned(),
            code,
        })
    });
    Ok(dead.collect())
}

/// The command that succeeds where a service was ever started.
pub(crate) fn known(service: &str) -> Vec<String> {
    const KNOWN: &str = r#"for dir in "${ENCAMP_RUN:-/run/encamp}"/services /tmp/encamp-services-*${ENCAMP_RUN:+/none}; do [ ! -f "$dir/$1.log" ] || exit 0; done; exit 1"#;
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
    let script = [COMMON, SUPERVISE].concat();
    let head = ["sh", "-c", &script, "sh", service.name.as_str(), restart];
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
