//! What a test that failed says of its environments, and their end.

use std::fmt::Write;
use std::time::Duration;

use encamp::{Encamp, Guard, Report, Result};
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::camp::{Camp, Held, Hold};
use crate::keep::{KEEP, encamp};
use crate::look::{self, Sight};
use crate::watch::Seen;

/// How long the end of a test waits for the end of its environments.
const PATIENCE: Duration = Duration::from_mins(1);

/// Says why a test failed, how each machine stands, and what it said last.
pub(crate) async fn failure(camp: &Camp, why: &str) {
    let mut text = format!("\nencamp: `{}` failed: {why}\n", camp.test.full_name());
    let mut known = camp.known();
    // The last one first: what came before is seldom why.
    known.reverse();
    for (name, coming, watch) in known {
        let seen = watch.seen();
        if coming {
            text.push_str(&told(&seen));
            continue;
        }
        let Some(name) = name else { continue };
        let _ = writeln!(text, "  {name}");
        match look::at(camp, &name, camp.began).await {
            Ok(sights) => text.push_str(&shown(&sights)),
            Err(error) => drop(writeln!(text, "    it cannot be looked at: {}", Report(&error))),
        }
    }
    if !camp.keep.keeps(true) {
        let _ = writeln!(
            text,
            "  to look inside: {KEEP}=on-failure cargo test {}",
            camp.test.full_name()
        );
    }
    say(&text);
}

/// Says how far what is brought up is, of a test that takes too long.
pub(crate) async fn coming(camp: &Camp) {
    for (_, coming, watch) in camp.known() {
        let seen = watch.seen();
        if let (true, Some(name)) = (coming && seen.failed.is_none(), &seen.name)
            && let Ok(sights) = look::at(camp, name, camp.began).await
        {
            watch.note(sights);
        }
    }
}

/// An environment that never was ready.
fn told(seen: &Seen) -> String {
    let Some(name) = &seen.name else {
        return String::new();
    };
    let mut text = format!("  {name}, which did not get ready\n");
    let sights = seen.failed.as_deref().unwrap_or_default();
    for (machine, at) in &seen.machines {
        let _ = writeln!(text, "    {machine} was {at}");
        let seen: Vec<Sight> = sights
            .iter()
            .filter(|sight| sight.machine == *machine)
            .cloned()
            .collect();
        text.push_str(&shown(&seen));
    }
    text
}

fn shown(sights: &[Sight]) -> String {
    let mut text = String::new();
    for Sight {
        machine,
        instance,
        state,
        lines,
    } in sights
    {
        let _ = write!(text, "    {machine} on {instance}: {state}");
        match lines {
            Ok(lines) if lines.is_empty() => text.push_str("; it has said nothing since the test began\n"),
            Ok(lines) => {
                text.push('\n');
                for line in lines {
                    let _ = writeln!(text, "      | {line}");
                }
            }
            Err(why) => drop(writeln!(text, "; what it said cannot be read: {why}")),
        }
    }
    text
}

/// Lets everything go that a test holds, or leaves it for a look inside.
pub(crate) async fn let_go(camp: &Camp, failed: bool) {
    let keep = camp.keep.keeps(failed);
    let ends = camp.take().into_iter().map(|Held { hold, .. }| async move {
        match hold {
            Hold::Own(guard) if keep => kept(camp, *guard).await,
            Hold::Own(guard) => gone(*guard).await,
            Hold::Shared(guard) if keep => {
                let name = guard.name().to_owned();
                Some(format!(
                    "encamp: `{name}` is shared, and goes with the last of its users"
                ))
            }
            Hold::Shared(_) | Hold::Coming => None,
        }
    });
    for said in join_all(ends).await.into_iter().flatten() {
        say(&said);
    }
}

async fn kept(camp: &Encamp, guard: Guard) -> Option<String> {
    let name = guard.name().to_owned();
    let environment = match guard.keep().await {
        Ok(environment) => environment,
        Err(error) => return Some(format!("encamp: `{name}` was not kept: {}", Report(&error))),
    };
    let command = encamp(camp.state_dir());
    let mut text = format!(
        "encamp: `{name}` is kept until {}; to look inside:\n",
        environment.summary().ends
    );
    for machine in environment.machines() {
        let _ = writeln!(text, "  {command} shell -e {name} {}", machine.name());
    }
    let _ = write!(text, "and to end it:\n  {command} down -e {name}");
    Some(text)
}

/// Disposes of it. Says something only where something is left.
async fn gone(guard: Guard) -> Option<String> {
    let name = guard.name().to_owned();
    match timeout(PATIENCE, down(guard)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("encamp: `{name}`: {}", Report(&error))),
        Err(_) => Some(format!(
            "encamp: `{name}` is still being disposed of after {PATIENCE:?}"
        )),
    }
}

async fn down(guard: Guard) -> Result<()> {
    guard.down().await?.must_be_clean().map(drop)
}

/// The harness shows it with a test that failed.
#[expect(clippy::print_stderr, reason = "a test's output is where its author looks")]
fn say(text: &str) {
    eprintln!("{text}");
}
