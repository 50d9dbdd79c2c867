//! What is wrong with a table, each with its place; pure.

use encamp_core::{Error, ErrorKind, Name, Problem, Result, Value, late_pointers};
use serde_json::json;

use super::{HealthCheck, Table, VolumeSource};

/// Leaves of these keys may be known only later.
const LATE_KEYS: [&str; 3] = ["/command", "/entrypoint", "/healthcheck/test"];

/// Problems beyond the schema. Late leaves hold markers.
pub(crate) fn examine(table: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for pointer in late_pointers(table) {
        if !may_be_late(&pointer) {
            problems.push(
                Problem::new(pointer, "this must be known before the machine is made")
                    .help("only `command`, `entrypoint` and `healthcheck.test` may depend on other machines; pass it by `env`"),
            );
        }
    }
    if !problems.is_empty() {
        return problems;
    }
    let known = without_markers(table);
    match serde_json::from_value::<Table>(known.clone()) {
        Ok(typed) => problems.extend(beyond_types(&typed)),
        Err(whole) => {
            problems.extend(one_by_one(&known));
            if problems.is_empty() {
                problems.push(Problem::new("", whole.to_string()));
            }
        }
    }
    problems
}

/// The typed table, or everything that is wrong with it in one error.
pub(crate) fn read(table: &Value) -> Result<Table> {
    let problems = examine(table);
    let Some(first) = problems.first() else {
        return serde_json::from_value(without_markers(table)).map_err(|native| {
            Error::new(ErrorKind::Invalid, "the machine's `docker` table is not right").caused_by(native)
        });
    };
    let mut error = Error::new(
        ErrorKind::Invalid,
        format!("the machine's `docker` table is not right: {}", first.message),
    );
    if let Some(help) = &first.help {
        error = error.next_step(help.clone());
    }
    for problem in &problems {
        error = error.with(format!("docker{}", problem.pointer), &problem.message);
    }
    Err(error)
}

fn may_be_late(pointer: &str) -> bool {
    LATE_KEYS
        .iter()
        .any(|key| pointer == *key || pointer.strip_prefix(key).is_some_and(|rest| rest.starts_with('/')))
}

/// The table with a text in the place of each marker.
fn without_markers(table: &Value) -> Value {
    let mut known = table.clone();
    for pointer in late_pointers(table) {
        if let Some(place) = known.pointer_mut(&pointer) {
            *place = json!("late");
        }
    }
    known
}

/// Reads each key, and each element of a list, by itself, so that every fault has its place.
fn one_by_one(table: &Value) -> Vec<Problem> {
    let Some(object) = table.as_object() else {
        return vec![Problem::new("", format!("expected a table, found {table}"))];
    };
    let fault = |key: &str, value: &Value| serde_json::from_value::<Table>(json!({ key: value })).err();
    let mut problems = Vec::new();
    for (key, value) in object {
        let place = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        let Some(whole) = fault(key, value) else { continue };
        let elements: Vec<_> = value
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(|(index, element)| {
                let inner = fault(key, &json!([element]))?;
                Some(Problem::new(format!("{place}/{index}"), inner.to_string()))
            })
            .collect();
        if elements.is_empty() {
            problems.push(Problem::new(place, whole.to_string()));
        } else {
            problems.extend(elements);
        }
    }
    problems
}

fn beyond_types(table: &Table) -> Vec<Problem> {
    let mut problems = Vec::new();
    match (&table.image, &table.build) {
        (None, None) => problems
            .push(Problem::new("", "there is neither an `image` nor a `build`").help("write `docker.image = \"…\"`")),
        (Some(_), Some(_)) => {
            problems.push(Problem::new("/build", "there is an `image` and a `build`").help("keep one of them"));
        }
        (Some(image), None) if !is_image(image) => {
            problems.push(Problem::new("/image", format!("`{image}` is no name of an image")));
        }
        _ => {}
    }
    for (index, volume) in table.volumes.iter().enumerate() {
        let taken = table.volumes.iter().take(index).any(|other| other.path == volume.path);
        if taken {
            let text = format!("something is mounted at `{}` already", volume.path);
            problems.push(Problem::new(format!("/volumes/{index}"), text));
        }
    }
    problems.extend(
        table
            .tmpfs
            .iter()
            .enumerate()
            .filter(|(_, folder)| !folder.starts_with('/'))
            .map(|(index, folder)| Problem::new(format!("/tmpfs/{index}"), format!("`{folder}` is no absolute path"))),
    );
    if table.cpus.is_some_and(|cpus| !(cpus.is_finite() && cpus > 0.0)) {
        problems.push(Problem::new("/cpus", "it must be more than 0"));
    }
    if table.memory.is_some_and(|memory| memory.0 < 6 << 20) {
        problems.push(Problem::new("/memory", "the engine gives no machine less than 6MiB"));
    }
    problems.extend(table.healthcheck.iter().flat_map(of_health));
    if let Some(subnet) = table.subnet.as_ref().filter(|subnet| !is_subnet(subnet)) {
        problems.push(
            Problem::new("/subnet", format!("`{subnet}` is no range of addresses")).help("write \"10.77.0.0/24\""),
        );
    }
    if let Some(name) = table.hostname.as_ref().filter(|name| !is_hostname(name)) {
        problems.push(Problem::new("/hostname", format!("`{name}` is no host name")));
    }
    problems
}

/// The engine takes a nought for "as the image says".
fn of_health(check: &HealthCheck) -> Vec<Problem> {
    let at = |key: &str, text: &str| Problem::new(format!("/healthcheck/{key}"), text);
    let spans = [
        ("interval", check.interval),
        ("timeout", check.timeout),
        ("start_period", check.start_period),
    ];
    let mut problems: Vec<_> = spans
        .into_iter()
        .filter(|(_, span)| span.is_some_and(|span| span.0.is_zero()))
        .map(|(key, _)| at(key, "it must be at least 1ms"))
        .collect();
    if check.retries == Some(0) {
        problems.push(at("retries", "it must be at least 1"));
    }
    if check.test.as_ref().is_some_and(|test| test.to_argv().is_empty()) {
        problems.push(at("test", "it has no words"));
    }
    problems
}

/// What may stand in an address: a reference, never `..`, a query or a blank.
pub(crate) fn is_image(text: &str) -> bool {
    !text.is_empty()
        && !text.contains("..")
        && !text.starts_with(['-', '/'])
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b':' | b'@'))
}

fn is_subnet(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let (Ok(address), Ok(bits)) = (address.parse::<std::net::IpAddr>(), bits.parse::<u8>()) else {
        return false;
    };
    bits <= if address.is_ipv4() { 32 } else { 128 }
}

fn is_hostname(text: &str) -> bool {
    text.split('.').all(|part| {
        Name::new(part.to_ascii_lowercase()).is_ok() || part.bytes().next().is_some_and(|b| b.is_ascii_digit())
    })
}

/// What the engine gives a machine that asks for nothing. To ask for one of them gives nothing more, save to a machine
/// that was hardened.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Whether a capability is one that every machine has, unless it is taken away.
pub(crate) fn is_default_capability(cap: &str) -> bool {
    let upper = cap.to_ascii_uppercase();
    DEFAULT_CAPABILITIES.contains(&upper.strip_prefix("CAP_").unwrap_or(&upper))
}

/// Whether a table mounts the engine's own socket.
pub(crate) fn mounts_socket(source: &VolumeSource) -> bool {
    matches!(source, VolumeSource::Bind(path) if path.ends_with("docker.sock") || path.ends_with("podman.sock"))
}

#[cfg(test)]
mod tests {
    use encamp_core::late_marker;

    use super::*;

    fn places(table: &Value) -> Vec<String> {
        examine(table).into_iter().map(|problem| problem.pointer).collect()
    }

    #[test]
    fn a_good_table_has_no_problem() {
        let table = json!({
            "image": "registry:5000/shop/web@sha256:aa", "command": ["a", late_marker("x")], "memory": "64MiB",
            "volumes": ["data:/d", { "name": "more", "path": "/e", "shared": true }], "subnet": "10.7.0.0/24",
            "hostname": "db.example.org", "stop_grace": "2s", "tmpfs": ["/run:size=1m"],
        });
        assert_eq!(examine(&table), []);
        assert!(read(&table).is_ok());
    }

    #[test]
    fn every_fault_has_its_place() {
        assert_eq!(places(&json!({})), [""]);
        assert_eq!(places(&json!({ "image": "a", "build": "." })), ["/build"]);
        assert_eq!(places(&json!({ "image": "a b" })), ["/image"]);
        assert_eq!(places(&json!({ "image": "../../info" })), ["/image"]);
        assert_eq!(
            places(&json!({ "image": "a", "memory": 5, "volumes": ["x:/y", "z"] })),
            ["/memory", "/volumes/1"]
        );
        assert_eq!(
            places(&json!({ "image": "a", "volumes": ["x:/y", "z:/y"] })),
            ["/volumes/1"]
        );
        assert_eq!(places(&json!({ "image": "a", "subnet": "10.0.0.0" })), ["/subnet"]);
        assert_eq!(places(&json!({ "image": "a", "imagee": "b" })), ["/imagee"]);
        assert_eq!(
            places(&json!({ "image": "a", "cpus": 0.0, "tmpfs": ["x"] })),
            ["/tmpfs/0", "/cpus"]
        );
    }

    #[test]
    fn a_health_check_says_no_nought() {
        let check = json!({ "interval": "0s", "retries": 0, "test": [] });
        assert_eq!(
            places(&json!({ "image": "a", "healthcheck": check })),
            ["/healthcheck/interval", "/healthcheck/retries", "/healthcheck/test"]
        );
        let check = json!({ "test": ["probe", late_marker("x")], "interval": "1s", "start_period": "500ms" });
        assert_eq!(places(&json!({ "image": "a", "healthcheck": check })), [""; 0]);
        assert_eq!(
            places(&json!({ "image": "a", "healthcheck": { "tries": 1 } })),
            ["/healthcheck"]
        );
    }

    #[test]
    fn default_capabilities_are_known_by_all_their_names() {
        for cap in ["CHOWN", "cap_chown", "CAP_NET_RAW"] {
            assert!(is_default_capability(cap), "{cap}");
        }
        for cap in ["SYS_ADMIN", "ALL", "CAP_NET_ADMIN", ""] {
            assert!(!is_default_capability(cap), "{cap}");
        }
    }

    #[test]
    fn only_commands_may_be_late() {
        assert_eq!(places(&json!({ "image": late_marker("x") })), ["/image"]);
        assert_eq!(
            places(&json!({ "image": "a", "entrypoint": late_marker("x") })),
            Vec::<String>::new()
        );
        let error = read(&json!({ "image": "a", "memory": 5 })).unwrap_err();
        assert!(error.message().contains("512MiB"), "{error}");
    }
}
