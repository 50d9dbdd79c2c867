//! The machine table: what stands under `local` at a machine.

use encamp_core::{Error, ErrorKind, Problem, Result, Value, fill_late, late_pointers};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use encamp_core::table::{ByteSize, Line, Span};

/// What a machine on this host is made of: `[machines.NAME.local]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("examples" = [{}]))]
#[non_exhaustive]
pub struct Table {
    /// The command: text for `sh -c`, or a list. Without one the machine runs until it is stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Line>,
    /// The folder that commands start in; the machine's home where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// The user, `name`, `uid` or `uid:gid`; only as root, and refused to everybody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The most memory, `512MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// The most processor time, in cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// The most processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// How long its command has to end before it is destroyed; without it, it is killed at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_grace: Option<Span>,
}

impl Table {
    /// A machine that runs a command.
    pub fn command(command: impl Into<Line>) -> Self {
        Self {
            command: Some(command.into()),
            ..Self::default()
        }
    }

    /// The table as JSON, as it stands in requests.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl encamp_core::table::KindTable for Table {
    fn kind(&self) -> &str {
        crate::NAME
    }

    fn to_json(&self) -> Value {
        self.to_json()
    }
}

/// Problems beyond the schema. Late leaves hold markers.
pub(crate) fn examine(table: &Value) -> Vec<Problem> {
    let late = late_pointers(table);
    let early = late
        .iter()
        .filter(|pointer| *pointer != "/command" && !pointer.starts_with("/command/"));
    let mut problems: Vec<Problem> = early
        .map(|pointer| {
            Problem::new(pointer, "this must be known before the machine is made")
                .help("only `command` may depend on other machines; pass it by `env`")
        })
        .collect();
    if !problems.is_empty() {
        return problems;
    }
    match typed(table) {
        Ok(typed) => problems.extend(beyond_types(&typed)),
        Err(_) => problems.extend(one_by_one(table)),
    }
    problems
}

/// The typed table, or what is wrong with it. Late leaves hold markers, or are rendered.
pub(crate) fn read(table: &Value) -> Result<Table> {
    let problems = examine(table);
    if let Some(first) = problems.first() {
        let text = format!("the machine's `local` table is not right: {}", first.message);
        let mut error = Error::new(ErrorKind::Invalid, text);
        if let Some(help) = &first.help {
            error = error.next_step(help.clone());
        }
        return Err(problems.iter().fold(error, |error, problem| {
            error.with(format!("local{}", problem.pointer), &problem.message)
        }));
    }
    typed(table)
        .map_err(|native| Error::new(ErrorKind::Invalid, "the machine's `local` table is not right").caused_by(native))
}

fn typed(table: &Value) -> Result<Table, serde_json::Error> {
    let mut table = if table.is_null() {
        serde_json::json!({})
    } else {
        table.clone()
    };
    let stand_ins = late_pointers(&table)
        .into_iter()
        .map(|pointer| (pointer, "late".into()));
    fill_late(&mut table, &stand_ins.collect());
    serde_json::from_value(table)
}

/// Each key by itself, so that every mistake has its place.
fn one_by_one(table: &Value) -> Vec<Problem> {
    let Some(object) = table.as_object() else {
        return vec![Problem::new("", "expected a table")];
    };
    let wrong = object.iter().filter_map(|(key, value)| {
        let alone = serde_json::json!({ key: value });
        let native = typed(&alone).err()?;
        Some(Problem::new(format!("/{key}"), native.to_string()))
    });
    wrong.collect()
}

fn beyond_types(table: &Table) -> Vec<Problem> {
    let mut problems = Vec::new();
    if table.cpus.is_some_and(|cpus| !(cpus.is_finite() && cpus > 0.0)) {
        problems.push(Problem::new("/cpus", "it must be more than 0"));
    }
    if table.pids.is_some_and(|pids| pids < LEAST_PIDS) {
        problems.push(Problem::new("/pids", format!("it must be at least {LEAST_PIDS}")));
    }
    if table.memory.is_some_and(|memory| memory.0 < LEAST_MEMORY) {
        let text = format!("it must be at least {}", ByteSize(LEAST_MEMORY));
        problems.push(Problem::new("/memory", text));
    }
    if table.workdir.as_ref().is_some_and(|folder| !folder.starts_with('/')) {
        problems.push(Problem::new("/workdir", "it must be an absolute path"));
    }
    if let Some(Line::Words(words)) = &table.command
        && words.is_empty()
    {
        problems.push(Problem::new("/command", "there is no command to run"));
    }
    problems
}

/// The shim counts too, and needs some.
const LEAST_MEMORY: u64 = 32 << 20;
/// The first process counts too, with a thread for each that it listens to.
const LEAST_PIDS: u32 = 16;

#[cfg(test)]
mod tests {
    use encamp_core::late_marker;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_of_the_library_is_the_table_of_a_file() {
        let table = Table::command("exec redis-server");
        assert_eq!(table.to_json(), json!({ "command": "exec redis-server" }));
        assert_eq!(read(&table.to_json()).unwrap(), table);
        assert_eq!(read(&json!({})).unwrap(), Table::default());
    }

    #[test]
    fn each_mistake_has_its_place() {
        let pointers = |table: Value| {
            let problems = examine(&table);
            problems.into_iter().map(|problem| problem.pointer).collect::<Vec<_>>()
        };
        assert_eq!(
            pointers(json!({ "memory": "plenty", "image": "x" })),
            ["/image", "/memory"]
        );
        assert_eq!(
            pointers(json!({ "memory": "1MiB", "cpus": 0.0, "pids": 15 })),
            ["/cpus", "/pids", "/memory"]
        );
        assert!(pointers(json!({ "pids": 16 })).is_empty());
        assert_eq!(pointers(json!({ "user": late_marker("x") })), ["/user"]);
        assert!(pointers(json!({ "command": ["a", late_marker("x")] })).is_empty());
    }
}
