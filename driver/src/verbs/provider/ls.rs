//! `encamp provider ls`.

use encamp::{InstanceName, KindName, Report};
use serde_json::json;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, exit_of};
use crate::{clean, output, words};

/// Where a kind comes from that is part of the program.
const LINKED: &str = "linked in";

struct Row {
    name: InstanceName,
    kind: KindName,
    version: String,
    from: String,
    checked: Result<encamp::Checked, encamp::Error>,
}

pub(in crate::verbs) async fn ls(cx: &Context) -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    for (name, kind) in &cx.kinds.instances {
        let info = cx.kinds.kinds.get(kind).map(|kind| kind.info());
        rows.push(Row {
            name: name.clone(),
            kind: kind.clone(),
            version: info.map_or_else(String::new, |info| info.version.clone()),
            from: cx
                .plugins
                .get(kind)
                .map_or_else(|| LINKED.to_owned(), |path| path.display().to_string()),
            checked: cx.encamp.check(name).await,
        });
    }
    if cx.json {
        let all: Vec<_> = rows.iter().map(as_json).collect();
        output::json(&json!({ "providers": all }));
    } else {
        let heads = ["NAME", "KIND", "VERSION", "FROM", "STATE"].map(str::to_owned).to_vec();
        let table: Vec<Vec<String>> = std::iter::once(heads).chain(rows.iter().map(as_row)).collect();
        for line in words::table(&table) {
            output::result(&line);
        }
    }
    let failed = rows.iter().find_map(|row| row.checked.as_ref().err());
    Ok(failed.map_or(Exit::Well, exit_of))
}

fn as_row(row: &Row) -> Vec<String> {
    let state = match &row.checked {
        Ok(checked) => format!("answers in {} ms · {}", checked.millis, clean::line(&checked.site)),
        Err(error) => clean::line(&Report(error).to_string()),
    };
    vec![
        row.name.to_string(),
        row.kind.to_string(),
        row.version.clone(),
        row.from.clone(),
        state,
    ]
}

fn as_json(row: &Row) -> encamp::Value {
    let (site, error) = match &row.checked {
        Ok(checked) => (Some(checked.site.clone()), None),
        Err(error) => (None, Some(Report(error).to_string())),
    };
    json!({
        "name": row.name, "kind": row.kind, "version": row.version, "from": row.from, "site": site, "error": error,
    })
}
