//! `encamp down`: takes an environment down, and believes only complete listings.

use std::collections::BTreeSet;

use encamp::{Environment, report::Disposal};
use serde_json::json;

use super::confirm::{Answer, confirm};
use super::left;
use crate::arguments::Down;
use crate::codes;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Refusal};
use crate::progress::{Of, remains};
use crate::{moment, output, place, words};

pub(super) async fn down(cx: &Context, args: &Down) -> Result<Exit, Failure> {
    let environment = place::environment(cx, &args.of).await?;
    if !args.machines.is_empty() {
        return some(cx, &environment, &args.machines).await;
    }
    let shared: Vec<String> = environment.items().map(|(name, ..)| name.to_owned()).collect();
    let mut follow = cx.follow(Of::Down)?;
    let events = follow.events();
    let done = follow
        .until(cx.encamp.down(environment.name(), events), left::interrupted)
        .await;
    follow.shown.finish();
    let Some(disposal) = done.transpose()? else {
        let existing = follow.shown.board.existing().join(", ");
        output::tell(&format!(
            "{}   left: {existing} · encamp gc ends it",
            environment.name()
        ));
        return Ok(Exit::Left);
    };
    if cx.json {
        output::json(&json!({ "disposal": disposal }));
    } else {
        left::tell(&disposal, &shared);
    }
    Ok(if disposal.is_clean() { Exit::Well } else { Exit::Left })
}

/// Takes some machines down early. Asks where others depend on them, or where nobody can tell.
async fn some(cx: &Context, environment: &Environment, named: &[String]) -> Result<Exit, Failure> {
    let going = place::members(environment, named)?;
    let name = environment.name().to_owned();
    let mut follow = cx.follow(Of::Down)?;
    if let Some(question) = question(cx, environment, &going) {
        let now = format!("{name} is as it was");
        match confirm(cx, question, &mut follow).await {
            Answer::Yes => {}
            Answer::No => {
                output::tell(&format!("not confirmed · {now}"));
                return Ok(Exit::Refused);
            }
            Answer::Interrupted => {
                output::tell(&format!("interrupted · {now}"));
                return Ok(Exit::Interrupted);
            }
            Answer::Nobody(question) => {
                let refusal = Refusal::new(codes::NOT_CONFIRMED, format!("{question} Nobody can be asked here"));
                let again = format!("encamp down {} -e {name} --yes", named.join(" "));
                return Err(refusal.now(now).help(again).into());
            }
        }
    }
    let events = follow.events();
    let releasing = cx.encamp.release(&name, going.clone(), events);
    let done = follow.until(releasing, left::interrupted).await;
    follow.shown.finish();
    let Some(disposal) = done.transpose()? else {
        let existing = follow.shown.board.existing().join(", ");
        output::tell(&format!("{name}   left: {existing} · encamp down ends it"));
        return Ok(Exit::Left);
    };
    let staying: Vec<String> = environment
        .machines()
        .map(|machine| machine.name().to_owned())
        .filter(|machine| !going.contains(machine))
        .collect();
    if cx.json {
        output::json(&json!({ "disposal": disposal, "staying": staying }));
    } else {
        tell_some(&disposal, &going, &staying);
    }
    Ok(if disposal.is_clean() { Exit::Well } else { Exit::Left })
}

/// What is to be asked before machines go; nothing where nobody depends on them.
fn question(cx: &Context, environment: &Environment, going: &BTreeSet<String>) -> Option<String> {
    let what: Vec<&String> = going.iter().collect();
    let what = words::list(&what);
    let Some(described) = cx.described(environment) else {
        return Some(format!(
            "Take {what} down? Its file cannot be read, so it is not known who depends on it."
        ));
    };
    let is_there = |name: &str| environment.machine(name).is_ok() && !going.contains(name);
    let dependent: Vec<&str> = described
        .machines
        .iter()
        .filter(|machine| machine.after.iter().any(|other| going.contains(other.as_str())))
        .map(|machine| machine.name.as_str())
        .filter(|name| is_there(name))
        .collect();
    if dependent.is_empty() {
        return None;
    }
    let verb = if dependent.len() == 1 { "depends" } else { "depend" };
    Some(format!("Take {what} down? {} {verb} on it.", words::list(&dependent)))
}

/// `pair   web-0 · gone in 0.3s · client stays`.
fn tell_some(disposal: &Disposal, going: &BTreeSet<String>, staying: &[String]) {
    left::tell_left(&disposal.left);
    let what: Vec<&String> = going.iter().collect();
    let (name, what) = (&disposal.environment, words::list(&what));
    let took = moment::took_millis(disposal.millis);
    let stays = match staying {
        [] => "no machine stays, encamp down ends the environment".to_owned(),
        [one] => format!("{one} stays"),
        several => format!("{} stay", words::list(several)),
    };
    if disposal.is_clean() {
        output::result(&format!("{name}   {what} · gone in {took} · {stays}"));
    } else {
        output::result(&format!(
            "{name}   {} gone in {took} · {} · {stays} · the next encamp down tries again",
            words::count(disposal.machines, "machine"),
            remains(disposal)
        ));
    }
}
