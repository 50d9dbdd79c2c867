//! What a compose file's keys are in an environment file. Only its outline is read: names of services and of their keys.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Where compose looks, in its order.
pub(super) const FILES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
];

/// A key of a service, and what says it here.
const KEYS: [(&str, &str); 14] = [
    ("image", "docker.image = \"…\""),
    ("build", "docker.build = \"folder\""),
    ("command", "docker.command = [\"…\"]"),
    ("entrypoint", "docker.entrypoint = [\"…\"]"),
    ("environment", "env = { NAME = \"value\" }"),
    (
        "ports",
        "ports = { http = 8080 }; on a free port of this host, or { port = 8080, publish = 8080 }",
    ),
    ("expose", "ports = { http = 8080 }"),
    (
        "depends_on",
        "nothing: write machines.db.endpoint('pg') where the address is needed, and the order follows",
    ),
    ("healthcheck", "ready = [{ run = \"…\", within = \"60s\" }]"),
    (
        "volumes",
        "docker.volumes = [\"name:/path\"]; folders of this host only where the settings allow them",
    ),
    ("deploy", "count = 3 for replicas"),
    ("user", "docker.user = \"…\""),
    ("tmpfs", "docker.tmpfs = [\"/path\"]"),
    ("restart", "nothing: what dies is told, and not hidden"),
];

/// The services and the keys of each.
pub(super) fn services(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut services: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut inside = false;
    let (mut of_services, mut of_keys) = (None, None);
    let mut current: Option<String> = None;
    for line in text.lines() {
        let bare = line.trim_start();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        let indent = line.len() - bare.len();
        if indent == 0 {
            inside = bare.trim_end() == "services:";
            continue;
        }
        let Some((key, _)) = bare.split_once(':').filter(|_| inside && !bare.starts_with('-')) else {
            continue;
        };
        let key = key.trim().trim_matches(['"', '\'']).to_owned();
        let depth = *of_services.get_or_insert(indent);
        if indent == depth {
            services.entry(key.clone()).or_default();
            current = Some(key);
            of_keys = None;
        } else if let Some(service) = &current
            && indent == *of_keys.get_or_insert(indent)
        {
            services.entry(service.clone()).or_default().insert(key);
        }
    }
    services
}

/// Comments that say what each key of the file is here.
pub(super) fn hint(file: &str, text: &str) -> String {
    let services = services(text);
    let used: BTreeSet<&String> = services.values().flatten().collect();
    let plain = |name: &str| name.chars().filter(|c| !c.is_control()).collect::<String>();
    let names: Vec<String> = services.keys().map(|name| plain(name)).collect();
    let mut hint = format!(
        "\n# {file} describes: {}. A service is a machine, and its keys are:\n",
        names.join(", ")
    );
    for key in used {
        let known = KEYS.iter().find(|(known, _)| known == key).map(|(_, here)| *here);
        // Writing to a text does not fail.
        let _ = writeln!(
            hint,
            "#   {:<12} {}",
            plain(key),
            known.unwrap_or("a key of `docker`, if `encamp validate` takes it")
        );
    }
    hint
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSE: &str = "version: '3'\nservices:\n  web:\n    image: x\n    ports:\n      - \"80:80\"\n    environment:\n      A: b\n\n  # the store\n  db:\n    image: pg\n    privileged: true\nvolumes:\n  data:\n";

    #[test]
    fn the_outline_of_a_compose_file_is_read() {
        let services = services(COMPOSE);
        assert_eq!(services.keys().collect::<Vec<_>>(), ["db", "web"]);
        assert_eq!(
            services["web"].iter().collect::<Vec<_>>(),
            ["environment", "image", "ports"]
        );
    }

    #[test]
    fn each_key_is_said_as_a_comment() {
        let hint = hint("compose.yaml", COMPOSE);
        assert!(hint.contains("# compose.yaml describes: db, web."), "{hint}");
        assert!(hint.contains("#   environment  env = { NAME"), "{hint}");
        assert!(hint.contains("#   privileged   a key of `docker`"), "{hint}");
        assert!(hint.trim().lines().all(|line| line.starts_with('#')), "{hint}");
    }
}
