//! `encamp validate`: everything that is wrong with a file, at once.

use std::collections::BTreeSet;

use encamp::file::Loaded;
use serde_json::json;

use crate::arguments::OfFile;
use crate::context::{Desk, file_of};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{clean, output, words};

pub(super) fn validate(desk: &Desk, args: &OfFile) -> Result<Exit, Failure> {
    let loaded = desk.read(args)?;
    let file = file_of(args.file.as_ref()).display().to_string();
    let environment = &loaded.environment;
    let providers: BTreeSet<&str> = environment
        .machines
        .iter()
        .flat_map(|machine| &machine.providers)
        .map(encamp::InstanceName::as_str)
        .collect();
    if desk.json {
        output::json(&json!({
            "file": file,
            "name": environment.name,
            "machines": environment.machines.iter().map(|machine| &machine.name).collect::<Vec<_>>(),
            "stages": environment.stages.iter().map(|stage| &stage.name).collect::<Vec<_>>(),
            "providers": providers,
            "warnings": loaded.to_json(),
        }));
        return Ok(Exit::Well);
    }
    output::tell_text(&loaded.render(output::has_colour()));
    output::result(&format!(
        "{}: {}   {}, {}, {}",
        clean::line(&file),
        verdict(&loaded),
        words::count(environment.machines.len(), "machine"),
        words::count(environment.stages.len(), "stage"),
        words::count(providers.len(), "provider"),
    ));
    Ok(Exit::Well)
}

fn verdict(loaded: &Loaded) -> String {
    match loaded.warnings.len() {
        0 => "ok".into(),
        number => format!("ok, {}", words::count(number, "warning")),
    }
}
