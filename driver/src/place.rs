//! Which environment is meant: the named one, or the one that came from this folder's file.

use std::collections::BTreeSet;
use std::path::Path;

use encamp::{Environment, Machine};

use crate::arguments::OfEnvironment;
use crate::codes;
use crate::context::{Context, FILE};
use crate::failure::{Failure, Refusal};
use crate::words;

/// Finds it without reading the file, which may be wrong or gone.
pub(crate) async fn environment(cx: &Context, of: &OfEnvironment) -> Result<Environment, Failure> {
    if let Some(name) = &of.environment {
        return Ok(cx.encamp.environment(name).await?);
    }
    let folder = std::env::current_dir().map_err(|error| {
        Refusal::new(codes::NO_SUCH, "the current folder cannot be told")
            .why(error.to_string())
            .help("name an environment with -e")
    })?;
    let names = cx.encamp.environments_of_file(&folder.join(FILE)).await?;
    match names.as_slice() {
        [name] => Ok(cx.encamp.environment(name).await?),
        [] => Err(none(cx, &folder).await?),
        several => {
            let listed = words::list(several);
            let refusal = Refusal::new(
                codes::SEVERAL,
                format!("several environments came from this folder's {FILE}: {listed}"),
            );
            Err(refusal.help(format!("encamp {} -e {}", cx.verb, several[0])).into())
        }
    }
}

/// A machine of it.
pub(crate) fn machine(environment: &Environment, name: &str) -> Result<Machine, encamp::Error> {
    environment.machine(name).map_err(|error| {
        if !environment.groups().iter().any(|group| group == name) {
            return error.next_step(format!("encamp show -e {}", environment.name()));
        }
        let members = environment.members(name).unwrap_or_default();
        let members: Vec<&str> = members.iter().map(Machine::name).collect();
        encamp::Error::new(
            encamp::ErrorKind::NotFound,
            format!("`{name}` is a group: one of its machines has to be named"),
        )
        .of_environment(environment.name())
        .with("its machines", words::list(&members))
        .next_step(format!(
            "name one of them, {} for example",
            members.first().unwrap_or(&name)
        ))
    })
}

/// The same, and all machines where none is named.
pub(crate) fn members_or_all(environment: &Environment, names: &[String]) -> Result<BTreeSet<String>, encamp::Error> {
    if names.is_empty() {
        return Ok(environment
            .machines()
            .map(|machine| machine.name().to_owned())
            .collect());
    }
    members(environment, names)
}

/// The machines that are named, by their own names or their groups'.
pub(crate) fn members(environment: &Environment, names: &[String]) -> Result<BTreeSet<String>, encamp::Error> {
    let mut members = BTreeSet::new();
    for name in names {
        let found = environment
            .members(name)
            .map_err(|error| error.next_step(format!("encamp show -e {}", environment.name())))?;
        members.extend(found.iter().map(|machine| machine.name().to_owned()));
    }
    Ok(members)
}

/// Says what there is instead.
async fn none(cx: &Context, folder: &Path) -> Result<Failure, Failure> {
    let all = cx.encamp.environments().await?;
    let is_here = |file: &Option<String>| {
        file.as_deref()
            .is_some_and(|file| Path::new(file).parent() == Some(folder))
    };
    let here: Vec<String> = all
        .iter()
        .filter(|summary| is_here(&summary.file))
        .map(|summary| summary.name.clone())
        .collect();
    let refusal = Refusal::new(
        codes::NO_SUCH,
        format!("no environment came from {FILE} in this folder"),
    );
    let refusal = match (here.first(), all.first()) {
        (Some(first), _) => refusal
            .why(format!("from other files of this folder: {}", words::list(&here)))
            .help(format!("encamp {} -e {first}", cx.verb)),
        (None, Some(_)) => refusal.help(format!("encamp ls, then encamp {} -e NAME", cx.verb)),
        (None, None) => refusal.why("there is no environment at all").help("encamp up"),
    };
    Ok(refusal.into())
}
