//! What a machine may say.

use encamp_core::Value;
use serde_json::{Map, json};

use super::{
    boolean, command, described, duration, environment, list, live, map, names, one_of, size, strings, text, whole,
    with_default,
};
use crate::kinds::Kinds;
use crate::ready::OF;
use crate::services::RESTARTS;
use crate::steps;

pub(super) fn machine(kinds: &Kinds) -> Value {
    let mut properties = Map::new();
    let mut add = |key: &str, schema: Value| properties.insert(key.to_owned(), schema);
    let instances: Vec<&str> = kinds.instances.keys().map(encamp_core::InstanceName::as_str).collect();
    let provider = json!({ "anyOf": [{ "enum": instances }, live::expression()] });
    add(
        "provider",
        json!({
            "description": "The provider that carries it, or several, best first.",
            "anyOf": [provider, { "type": "array", "items": provider, "minItems": 1 }],
        }),
    );
    add(
        "count",
        whole(1, 10_000, "Makes it a group: `x-0`, `x-1`, …; even with 1."),
    );
    add("serial", boolean("The members of the group come up one by one.", false));
    add("env", described(environment(), "The environment of its processes."));
    add("ports", map(names(), port(), "What it listens on, by name."));
    add(
        "secrets",
        map(
            json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" }),
            text("A text with `secret('…')`."),
            "Files `/run/encamp/secrets/NAME`, which the variables `NAME_FILE` name.",
        ),
    );
    add(
        "setup",
        list(
            json!({ "$ref": "#/$defs/step" }),
            "What is done before it counts as ready, in order.",
        ),
    );
    let service = json!({ "$ref": "#/$defs/service" });
    add(
        "services",
        map(
            names(),
            service,
            "What runs on it, supervised, beside its main process.",
        ),
    );
    add(
        "ready",
        list(
            json!({ "$ref": "#/$defs/probe" }),
            "What must hold before it counts as ready; all of it.",
        ),
    );
    add("needs", needs());
    let wait = "What must be ready before it is made, beside what it speaks of.";
    add(
        "depends_on",
        json!({ "description": wait, "anyOf": [{ "type": "string" }, strings(wait)] }),
    );
    for (kind, registered) in &kinds.kinds {
        add(
            kind.as_str(),
            live::table(kind.as_str(), &registered.info().table_schema),
        );
    }
    json!({
        "type": "object",
        "description": "A machine, or a group of them.",
        "additionalProperties": false,
        "required": ["provider"],
        "properties": properties,
    })
}

fn port() -> Value {
    let number = whole(1, 65_535, "The number.");
    let publish = json!({
        "description": "A fixed port of the host, or `false`: never dialled from outside.",
        "anyOf": [{ "type": "boolean" }, { "type": "integer", "minimum": 1, "maximum": 65_535 }, live::expression()],
    });
    json!({
        "anyOf": [
            number,
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["port"],
                "properties": {
                    "port": number,
                    "publish": publish,
                    "protocol": with_default(one_of(&["tcp", "udp"], "How it is spoken to."), json!("tcp")),
                },
            },
        ],
    })
}

fn needs() -> Value {
    let cores = json!({
        "description": "Cores.",
        "anyOf": [{ "type": "number", "exclusiveMinimum": 0 }, live::expression()],
    });
    json!({
        "type": "object",
        "description": "What it needs, whatever the provider.",
        "additionalProperties": false,
        "properties": {
            "cpu": cores,
            "memory": size("Main memory."),
            "disk": size("Room on disk."),
            "arch": text("The processor: `x86_64`, `aarch64`."),
            "os": text("The operating system: `linux`."),
            "gpu": whole(0, 1024, "Graphics processors."),
        },
    })
}

pub(super) fn service() -> Value {
    json!({
        "type": "object",
        "description": "One supervised process.",
        "additionalProperties": false,
        "required": ["run"],
        "properties": {
            "run": command("What runs."),
            "env": environment(),
            "cwd": text("Its folder; the machine's own where none is given."),
            "user": text("Its user; the machine's own where none is given."),
            "restart": with_default(one_of(&RESTARTS, "What happens when it ends."), json!("no")),
            "raw": boolean("Its strings are taken as they are, braces and all.", false),
        },
    })
}

pub(super) fn probe() -> Value {
    let port = "The name of one of its tcp ports.";
    let is = |about: &str| json!({ "anyOf": [{ "const": true }, live::expression()], "description": about });
    let conditions = [
        ("tcp", text(port), vec![]),
        (
            "http",
            text(port),
            vec![
                ("path", with_default(text("The path, with a leading `/`."), json!("/"))),
                (
                    "status",
                    whole(
                        100,
                        599,
                        "The status that is wanted; any of 200 to 399 where none is given.",
                    ),
                ),
                (
                    "json",
                    json!({ "type": "object", "description": "Keys that the answer must have, with these values." }),
                ),
            ],
        ),
        ("run", command("A command in the machine that exits 0."), vec![]),
        (
            "log",
            text("A regular expression that a line of its log matches."),
            vec![],
        ),
        ("file", text("A file that is there."), vec![]),
        (
            "exited",
            json!({ "anyOf": [{ "const": 0 }, live::expression()], "description": "Its main process has exited 0." }),
            vec![],
        ),
        ("healthcheck", is("The image's own check is content."), vec![]),
        ("ssh", is("It can be logged in to over SSH."), vec![]),
        ("cloud_init", is("cloud-init is done in it, without an error."), vec![]),
    ];
    let variants = conditions.into_iter().map(|(condition, schema, own)| {
        let mut properties = Map::new();
        properties.insert(condition.to_owned(), schema);
        properties.extend(own.into_iter().map(|(key, schema)| (key.to_owned(), schema)));
        properties.insert(
            "within".into(),
            with_default(duration("From the machine's start."), json!("1m")),
        );
        properties.insert(
            "every".into(),
            with_default(duration("The pause between two attempts."), json!("250ms")),
        );
        properties.insert(
            "timeout".into(),
            with_default(duration("The longest that one attempt may take."), json!("5s")),
        );
        properties.insert("stable".into(), duration("It has to hold without a break for so long."));
        let of = one_of(&OF, "`group`: judged on every member once the whole group runs.");
        properties.insert("of".into(), with_default(of, json!("machine")));
        object(properties, &[condition])
    });
    json!({ "description": "What must hold.", "oneOf": variants.collect::<Vec<_>>() })
}

/// A table with these keys and no others.
pub(super) fn object(properties: Map<String, Value>, required: &[&str]) -> Value {
    let mut object = json!({ "type": "object", "additionalProperties": false, "required": required });
    object["properties"] = properties.into();
    object
}

/// The keys of what is done, by the key that says what: those of its own, and which of them it must have.
pub(super) fn action(action: &str) -> (Map<String, Value>, Vec<&'static str>) {
    let own = steps::ACTIONS.iter().find(|(known, _)| *known == action);
    let (name, keys) = own.copied().unwrap_or_default();
    let mut properties = Map::new();
    properties.insert(name.to_owned(), described_action(name));
    for key in keys {
        properties.insert((*key).to_owned(), companion(key));
    }
    let required: &[&str] = match action {
        "copy" | "template" | "sync" => &["to"],
        "fetch" => &["to", "sha256"],
        _ => &[],
    };
    (
        properties,
        std::iter::once(name).chain(required.iter().copied()).collect(),
    )
}

fn described_action(action: &str) -> Value {
    match action {
        "run" => command("A command: a string for `sh -c`, or a list."),
        "script" => text("A file beside this one, which runs there."),
        "copy" => text("A file or folder beside this one; of a folder, what is in it."),
        "template" => text("A file beside this one, in Jinja."),
        "fetch" => text("An address that begins with `https://` or `http://`."),
        _ => text("A folder: a working tree that is brought up to date."),
    }
}

fn companion(key: &str) -> Value {
    match key {
        "env" => environment(),
        "args" => json!({ "type": "array", "items": super::scalar(), "description": "What it is called with." }),
        "cwd" => text("The folder; the machine's own where none is given."),
        "user" => text("The user; the machine's own where none is given."),
        "output" => json!({
            "type": "string",
            "description": "The last line that it says is `machines.x.outputs.NAME`.",
            "anyOf": [names(), live::expression()],
        }),
        "to" => text("Where it lands on the machine: a path that begins with `/`."),
        "owner" => text("`user` or `user:group`."),
        "mode" => json!({
            "description": "Octal digits, \"0644\"; where none is given the x-bit is kept.",
            "anyOf": [
                { "type": "string", "pattern": "^(0o)?[0-7]+$" },
                { "type": "integer", "minimum": 0, "maximum": 0o7777, "description": "An octal number, 0o644." },
                live::expression(),
            ],
        }),
        "vars" => json!({ "type": "object", "description": "What the template knows beside what expressions know." }),
        "sha256" => json!({
            "description": "The SHA-256 of its content: 64 hex digits.",
            "anyOf": [
                { "type": "string", "pattern": "^(sha256:)?[0-9A-Fa-f]{64}$" },
                live::expression(),
            ],
        }),
        "unpack" => boolean("It is an archive, whose contents are wanted.", false),
        _ => strings("Patterns of what stays behind, as `.gitignore` has them."),
    }
}
