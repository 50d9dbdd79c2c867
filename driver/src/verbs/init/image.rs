//! What a Dockerfile says that an environment file needs: the ports it exposes.

use std::collections::BTreeMap;

/// Names that people know ports by.
const KNOWN: [(u16, &str); 10] = [
    (80, "http"),
    (3000, "http"),
    (5000, "http"),
    (8000, "http"),
    (8080, "http"),
    (443, "https"),
    (5432, "pg"),
    (3306, "mysql"),
    (6379, "redis"),
    (22, "ssh"),
];

/// The lines `ports` and `ready` for what is exposed; commented where nothing is.
pub(super) fn ports(dockerfile: &str) -> String {
    let ports = exposed(dockerfile);
    let Some(first) = ports.iter().find(|(_, (_, udp))| !udp).map(|(name, _)| name) else {
        return "# ports = { http = 8080 }\n# ready = [{ http = \"http\", path = \"/healthz\", within = \"60s\" }]"
            .into();
    };
    let listed: Vec<String> = ports
        .iter()
        .map(|(name, (port, udp))| {
            if *udp {
                format!("{name} = {{ port = {port}, protocol = \"udp\" }}")
            } else {
                format!("{name} = {port}")
            }
        })
        .collect();
    format!(
        "ports = {{ {} }}\nready = [{{ tcp = \"{first}\", within = \"60s\" }}]   # better: {{ http = \"{first}\", path = \"/healthz\" }}",
        listed.join(", ")
    )
}

/// `EXPOSE 8080 53/udp`: name, port and whether it is UDP.
fn exposed(dockerfile: &str) -> BTreeMap<String, (u16, bool)> {
    let mut ports = BTreeMap::new();
    let lines = dockerfile.lines().map(str::trim);
    let exposing = lines.filter_map(|line| {
        let (word, rest) = line.split_once(char::is_whitespace)?;
        word.eq_ignore_ascii_case("expose").then_some(rest)
    });
    for text in exposing.flat_map(str::split_whitespace) {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let Some(port) = number.parse::<u16>().ok().filter(|port| *port > 0) else {
            continue;
        };
        let known = KNOWN
            .iter()
            .find(|(known, _)| *known == port)
            .map(|(_, name)| (*name).to_owned());
        let name = known
            .filter(|name| !ports.contains_key(name))
            .unwrap_or_else(|| format!("port-{port}"));
        ports.insert(name, (port, protocol.eq_ignore_ascii_case("udp")));
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposed_ports_have_names() {
        let text = ports("FROM x\nexpose 8080 9000/tcp\nEXPOSE $PORT 53/udp 3000\n");
        assert!(
            text.starts_with(
                "ports = { http = 8080, port-3000 = 3000, port-53 = { port = 53, protocol = \"udp\" }, port-9000 = 9000 }\n"
            ),
            "{text}"
        );
        assert!(ports("FROM x\n").starts_with("# ports"));
    }
}
