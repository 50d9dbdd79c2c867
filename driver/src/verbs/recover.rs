//! `encamp recover`: what this installation has made is recorded again after its store was lost.

use encamp::{Class, Phase, Recovered, Recovery, Standing};
use serde_json::json;

use super::unreached;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{clean, moment, output, words};

pub(super) async fn recover(cx: &Context) -> Result<Exit, Failure> {
    let recovery = cx.encamp.recover().await?;
    // Nothing was to go, so nothing is left: a provider failed.
    let exit = if recovery.unreached.is_empty() {
        Exit::Well
    } else {
        Exit::Provider
    };
    if cx.json {
        let mut value = json!(recovery);
        value["unreached"] = unreached::json(&recovery.unreached);
        output::json(&json!({ "recovery": value, "exit": exit.code() }));
        return Ok(exit);
    }
    for environment in &recovery.environments {
        tell(environment);
    }
    for key in &recovery.late {
        output::result(&format!(
            "{}   of an environment that is gone · encamp gc destroys what is still there",
            clean::line(key)
        ));
    }
    for key in &recovery.held {
        output::tell(&format!(
            "{}   left alone: an encamp that still has the lost store works on it · encamp recover again once it has ended",
            clean::line(key)
        ));
    }
    for unproved in &recovery.unproved {
        output::tell(&format!(
            "left alone: {} on `{}`   {}",
            clean::line(&unproved.key),
            unproved.instance,
            unproved.why
        ));
    }
    unreached::tell(&recovery.unreached);
    output::result(&last_line(&recovery));
    Ok(exit)
}

/// The environment, a line for each thing of it that stands there, and what to do where its lease was over.
fn tell(environment: &Recovered) {
    let is_new = |standing: &&Standing| standing.is_new;
    let added = environment.objects.iter().filter(is_new).count();
    let what = match (environment.is_new, added) {
        (true, _) => "recorded again".to_owned(),
        (false, 0) => "was known".to_owned(),
        (false, added) => format!("was known, {} of it recorded again", words::count(added, "thing")),
    };
    let ends = moment::clock(environment.ends);
    output::result(&format!("{}   {what} · ends {ends}", environment.name));
    let rows: Vec<Vec<String>> = environment.objects.iter().map(row).collect();
    for line in words::table(&rows) {
        output::result(&format!("  {line}"));
    }
    if let Some(ended) = environment.ended {
        output::tell(&format!(
            "{}: by its labels its lease ended at {}; it is kept until {ends} · encamp extend 1h -e {} keeps it longer",
            environment.name,
            moment::clock(ended),
            environment.name
        ));
    }
}

fn row(standing: &Standing) -> Vec<String> {
    let id: String = standing.id.chars().take(8).collect();
    let (phase, carrier) = match standing.class {
        // What is shared has no life of its own, and its id is its name on some carriers.
        Class::Scope => ("shared".to_owned(), standing.instance.to_string()),
        _ => (
            phase(&standing.phase),
            format!("{} {}", standing.instance, clean::line(&id)),
        ),
    };
    vec![clean::line(&standing.object), phase, carrier]
}

fn phase(phase: &Phase) -> String {
    match phase {
        Phase::Held => "held".into(),
        Phase::Starting => "starting".into(),
        Phase::Running => "running".into(),
        Phase::Paused => "paused".into(),
        Phase::Stopped => "stopped".into(),
        Phase::Exited(exit) => exit.to_string(),
        Phase::Dying => "destroying".into(),
        _ => "gone".into(),
    }
}

/// What was found, where one looked, and what to type next.
fn last_line(recovery: &Recovery) -> String {
    let again = recovery
        .environments
        .iter()
        .filter(|environment| environment.is_new)
        .count();
    let found = match (again, recovery.recorded()) {
        (0, 0) if !recovery.held.is_empty() => "nothing was recorded again".to_owned(),
        (0, 0) if recovery.environments.is_empty() && recovery.late.is_empty() => {
            "nothing of ours was found".to_owned()
        }
        (0, 0) => "nothing was found that the store does not know".to_owned(),
        (0, things) => format!("{} recorded again", words::count(things, "thing")),
        (again, _) => format!("{} recorded again", words::count(again, "environment")),
    };
    let listed = format!("{} listed", words::count(recovery.sites.len(), "site"));
    let unreached = match recovery.unreached.len() {
        0 => String::new(),
        number => format!(
            ", {} not reached: encamp recover once it is",
            words::count(number, "provider")
        ),
    };
    format!("{found} · {listed}{unreached} · encamp ls shows what there is")
}
