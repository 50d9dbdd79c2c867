//! What commands print: JSON Lines.

use encamp_core::{
    Access, Addr, Class, Error, ErrorKind, Found, Labels, List, Listing, Observed, Phase, Published, Result, Retry,
    Site, Value,
};
use serde::Deserialize;

/// A line of a listing, or of a look at one machine.
#[derive(Debug, Deserialize)]
struct Line {
    key: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default = "running")]
    phase: Phase,
    #[serde(default)]
    access: Option<Access>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    addrs: Vec<Addr>,
    #[serde(default)]
    ports: Vec<Published>,
    #[serde(default)]
    why: Option<String>,
}

fn running() -> Phase {
    Phase::Running
}

/// A listing ends with the line `{"complete":true}`; whatever does not is not complete, and never "empty".
pub(crate) fn listing(text: &str, list: &List, site: &Site) -> Result<Listing> {
    let mut found = Vec::new();
    let mut complete = false;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let value = json(line)?;
        if value == serde_json::json!({ "complete": true }) {
            complete = true;
            continue;
        }
        if complete {
            return Err(broken("it goes on after `{\"complete\":true}`", line));
        }
        let entry: Line = serde_json::from_value(value).map_err(|e| broken(&e.to_string(), line))?;
        let key = entry.key.ok_or_else(|| broken("it has no `key`", line))?;
        if !list.takes(&key, &entry.labels) {
            continue;
        }
        let id = entry.id.unwrap_or_else(|| key.clone());
        let mut one = Found::new(Class::Machine, key, id, site.clone(), entry.phase);
        (one.access, one.token, one.labels) = (entry.access, entry.token, entry.labels);
        found.push(one);
    }
    if !complete {
        return Err(Error::new(
            ErrorKind::Unavailable,
            "the listing does not end with `{\"complete\":true}`",
        )
        .retry(Retry::Safe));
    }
    Ok(Listing::complete(site.clone(), found))
}

/// What the last line says of one machine.
pub(crate) fn observed(text: &str, id: &str, otherwise: Access) -> Result<Observed> {
    let line = last(text)
        .ok_or_else(|| Error::new(ErrorKind::Unavailable, "it says nothing of the machine").retry(Retry::Safe))?;
    let entry: Line = serde_json::from_value(json(line)?).map_err(|e| broken(&e.to_string(), line))?;
    let id = entry.id.unwrap_or_else(|| id.to_owned());
    let mut observed = Observed::new(entry.phase, id, entry.access.unwrap_or(otherwise));
    (observed.addrs, observed.ports, observed.why) = (entry.addrs, entry.ports, entry.why);
    Ok(observed)
}

/// What a change has answered, where it says something.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) id: Option<String>,
    pub(crate) phase: Option<Phase>,
    pub(crate) adopted: bool,
    /// What was to go is on its way and not gone yet.
    pub(crate) pending: bool,
}

/// Of a change whose answer cannot be read, nobody knows what came of it.
pub(crate) fn answer(text: &str) -> Result<Answer> {
    let Some(line) = last(text) else {
        return Ok(Answer::default());
    };
    let read = json(line).and_then(|value| serde_json::from_value(value).map_err(|e| broken(&e.to_string(), line)));
    read.map_err(|error| error.retry(Retry::Unknown))
}

fn last(text: &str) -> Option<&str> {
    text.lines().rfind(|line| !line.trim().is_empty())
}

fn json(line: &str) -> Result<Value> {
    serde_json::from_str(line).map_err(|e| broken(&e.to_string(), line))
}

fn broken(why: &str, line: &str) -> Error {
    let shown: String = line.chars().take(200).collect();
    Error::new(
        ErrorKind::Unavailable,
        format!("a line of its output cannot be read: {why}"),
    )
    .retry(Retry::Safe)
    .with("line", shown)
}

#[cfg(test)]
mod tests {
    use encamp_core::{ControllerId, ControllerPrefix};

    use super::*;

    fn listed(text: &str) -> Result<Listing> {
        let list = List::new(ControllerPrefix::new(&ControllerId::new("abcdef").unwrap()));
        listing(text, &list, &Site::new("script:lab"))
    }

    #[test]
    fn only_what_ends_is_complete() {
        let ours = "{\"key\":\"ec-abcdef-0123456789-web-g1-x\"}\n{\"key\":\"others\"}\n";
        let listing = listed(&format!("{ours}\n{{\"complete\":true}}\n")).unwrap();
        assert_eq!(listing.found.len(), 1);
        assert!(listing.covers(&Site::new("script:lab")));
        for broken in [
            "",
            ours,
            "no JSON\n{\"complete\":true}\n",
            "{\"phase\":\"running\"}\n{\"complete\":true}\n",
            "{\"complete\":true}\n{\"key\":\"late\"}\n",
            "{\"key\":\"x\",\"phase\":\"flying\"}\n{\"complete\":true}\n",
        ] {
            assert!(listed(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn access_is_data() {
        let line = "{\"key\":\"k\",\"access\":{\"ssh\":{\"host\":\"10.0.0.7\",\"user\":\"root\",\"host_keys\":[\"ssh-ed25519 AAAA\"]}}}";
        let observed = observed(line, "k", Access::None).unwrap();
        assert_eq!(observed.phase, Phase::Running);
        assert!(matches!(observed.access, Access::Ssh(ssh) if ssh.host == "10.0.0.7" && ssh.port == 22));
    }
}
