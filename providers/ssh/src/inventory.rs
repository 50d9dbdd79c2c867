//! Hosts of an Ansible inventory, by what `ansible-inventory --list` says of it: so every form and plugin is read as Ansible
//! reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use encamp_core::{Ambient, Error, ErrorKind, Result, Value};

use crate::config::HostSettings;
use crate::tool::tool;

/// Where there is no `ansible-inventory`.
const ANSIBLE: &str = "apt-get install ansible-core, or name what it prints with --list as a file that ends in .json";
/// Groups that say nothing.
const EVERYBODY: [&str; 2] = ["all", "ungrouped"];

/// The hosts of an inventory, by their names here. A file that ends in `.json` is what `ansible-inventory --list` printed;
/// that program reads any other.
pub(crate) async fn read(file: &Path, ambient: &Ambient) -> Result<BTreeMap<String, HostSettings>> {
    let cannot = |why: &str| Error::new(ErrorKind::Invalid, format!("the inventory {} {why}", file.display()));
    let text = if file.extension().is_some_and(|ending| ending == "json") {
        std::fs::read_to_string(file).map_err(|native| cannot("cannot be read").caused_by(native))?
    } else {
        listed(file, ambient).await?
    };
    let inventory: Value = serde_json::from_str(&text).map_err(|native| {
        cannot("is no inventory in JSON")
            .caused_by(native)
            .next_step("ansible-inventory -i INVENTORY --list >inventory.json")
    })?;
    hosts(&inventory).map_err(|why| cannot(&why))
}

async fn listed(file: &Path, ambient: &Ambient) -> Result<String> {
    let list = ["-i".as_ref(), file.as_os_str(), "--list".as_ref()];
    let output = tool(ambient, ANSIBLE, "ansible-inventory", &list, b"").await?;
    // It only warns of what it cannot read, and prints an inventory without hosts.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_empty = serde_json::from_str(&text).is_ok_and(|all| hosts(&all).is_ok_and(|hosts| hosts.is_empty()));
    if !output.status.success() || is_empty {
        let error = Error::new(
            ErrorKind::Invalid,
            format!("the inventory {} cannot be read", file.display()),
        );
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(error.with("ansible-inventory says", said));
    }
    Ok(text)
}

fn hosts(inventory: &Value) -> Result<BTreeMap<String, HostSettings>, String> {
    let groups = inventory.as_object().ok_or("is no inventory")?;
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for group in groups.keys().filter(|group| *group != "_meta") {
        for host in members(inventory, group, &mut BTreeSet::new()) {
            let of_host = labels.entry(host).or_default();
            if !EVERYBODY.contains(&group.as_str()) {
                of_host.insert(group);
            }
        }
    }
    let variables = &inventory["_meta"]["hostvars"];
    for host in variables.as_object().into_iter().flat_map(serde_json::Map::keys) {
        labels.entry(host).or_default();
    }
    let mut hosts = BTreeMap::new();
    for (host, groups) in labels {
        let settings = settings(host, &variables[host], groups)?;
        let name = name(host);
        if let Some(other) = hosts.insert(name.clone(), settings) {
            let other = other.host.unwrap_or_default();
            return Err(format!("has two hosts that are both `{name}` here: {host} and {other}"));
        }
    }
    Ok(hosts)
}

/// The hosts of a group and of those in it.
fn members<'i>(inventory: &'i Value, group: &'i str, passed: &mut BTreeSet<&'i str>) -> BTreeSet<&'i str> {
    if !passed.insert(group) {
        return BTreeSet::new();
    }
    let texts = |key: &str| {
        let list = inventory[group][key].as_array().into_iter().flatten();
        list.filter_map(Value::as_str)
    };
    let mut members: BTreeSet<&str> = texts("hosts").collect();
    for child in texts("children") {
        members.extend(self::members(inventory, child, passed));
    }
    members
}

fn settings(host: &str, variables: &Value, groups: BTreeSet<&str>) -> Result<HostSettings, String> {
    let text = |names: &[&str]| {
        let mut values = names
            .iter()
            .map(|name| &variables[*name])
            .filter(|value| !value.is_null());
        values.next().map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    };
    match text(&["ansible_connection"]).as_deref() {
        None | Some("ssh" | "smart" | "ansible.builtin.ssh") => {}
        Some(other) => return Err(format!("reaches {host} by `{other}`, and not by ssh")),
    }
    let port = match text(&["ansible_port", "ansible_ssh_port"]) {
        Some(port) => Some(
            port.parse()
                .map_err(|_| format!("has `{port}` as the port of {host}"))?,
        ),
        None => None,
    };
    Ok(HostSettings {
        host: Some(text(&["ansible_host", "ansible_ssh_host"]).unwrap_or_else(|| host.to_owned())),
        port,
        user: text(&["ansible_user", "ansible_ssh_user"]),
        identity: text(&["ansible_ssh_private_key_file", "ansible_private_key_file"]).map(Into::into),
        labels: groups.into_iter().map(str::to_owned).collect(),
        ..HostSettings::default()
    })
}

/// What a host is called here: its letters, digits and dashes.
fn name(host: &str) -> String {
    let letter = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    host.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_are_labels_and_variables_say_how_a_host_is_reached() {
        let inventory = json!({
            "_meta": { "hostvars": {
                "db1": { "ansible_host": "10.0.0.9", "ansible_user": "anna", "ansible_ssh_private_key_file": "~/.ssh/lab" },
                "rack-1.example.com": { "ansible_port": 2222, "ansible_user": "ops" },
            } },
            "all": { "children": ["ungrouped", "prod"] },
            "db": { "hosts": ["db1"] },
            "prod": { "children": ["web", "db"] },
            "web": { "hosts": ["rack-1.example.com"], "children": ["web"] },
            "ungrouped": { "hosts": ["Alone_1"] },
        });
        let found = hosts(&inventory).unwrap();
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            ["alone-1", "db1", "rack-1-example-com"]
        );
        let db = &found["db1"];
        assert_eq!(db.host.as_deref(), Some("10.0.0.9"));
        assert_eq!(db.user.as_deref(), Some("anna"));
        assert_eq!(db.identity.as_deref(), Some(Path::new("~/.ssh/lab")));
        assert_eq!(db.labels, ["db", "prod"]);
        let rack = &found["rack-1-example-com"];
        assert_eq!(
            (rack.host.as_deref(), rack.port),
            (Some("rack-1.example.com"), Some(2222))
        );
        assert_eq!(rack.labels, ["prod", "web"]);
        assert_eq!(found["alone-1"].labels, Vec::<String>::new());
    }

    #[test]
    fn what_is_no_host_over_ssh_is_refused() {
        let of = |variables: Value| json!({ "_meta": { "hostvars": { "a": variables } } });
        for (wrong, says) in [
            (json!([]), "no inventory"),
            (of(json!({ "ansible_connection": "winrm" })), "winrm"),
            (of(json!({ "ansible_port": "ssh" })), "port"),
            (json!({ "g": { "hosts": ["a.b", "a-b"] } }), "two hosts"),
        ] {
            let error = hosts(&wrong).unwrap_err();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }
}
