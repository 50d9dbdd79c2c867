//! Vouches for the key of a host, by its fingerprint.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use encamp_core::{Ambient, Error, ErrorKind, Result, Value, Verb};

use crate::access::{known_as, known_by, known_hosts_of};
use crate::config::Settings;
use crate::tool::{OPENSSH, tool};

/// Seconds that a host has to show its keys.
const PATIENCE: &str = "10";

/// A key that a host shows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShownKey {
    /// In OpenSSH's form, `ssh-ed25519 AAAA…`.
    pub key: String,
    /// `SHA256:…`.
    pub fingerprint: String,
}

/// What is known of a host after [`trust`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trusted {
    /// As `known_hosts` names it: `[127.0.0.1]:2222`.
    pub name: String,
    /// The keys that it shows now. None of them is trusted for that.
    pub shown: Vec<ShownKey>,
    /// The file in which the key stands from now on; nothing where no fingerprint was given.
    pub file: Option<PathBuf>,
}

/// Asks a host for its keys and, where `fingerprint` is that of one of them, writes that key into the user's `known_hosts`,
/// or the file that the settings name. `host` is a host of one of the instances with those settings by its name, or an
/// address: `10.0.0.7`, `[10.0.0.7]:2222`. A host that is known by another key of the same algorithm stays known by that
/// one alone: that is an error, as is a fingerprint that the host does not show.
pub async fn trust(instances: Vec<Value>, ambient: &Ambient, host: &str, fingerprint: Option<&str>) -> Result<Trusted> {
    let (mut settings, mut host) = (Settings::default(), host.to_owned());
    for instance in instances {
        let instance = Settings::read(instance)?.with_inventory(ambient).await?;
        if let Some(name) = named(&instance, &host) {
            (settings, host) = (instance, name);
            break;
        }
    }
    let (address, port) = place(&settings, &host)?;
    let name = known_as(&address, port);
    let shown = shown(ambient, &address, port, &name).await?;
    let Some(wanted) = fingerprint else {
        return Ok(Trusted {
            name,
            shown,
            file: None,
        });
    };
    let Some(key) = shown.iter().find(|key| key.fingerprint == wanted) else {
        let error = Error::new(
            ErrorKind::Unauthorized,
            format!("{name} shows no key with that fingerprint"),
        );
        let error = shown
            .iter()
            .fold(error, |error, key| error.with("seen", &key.fingerprint));
        return Err(error.next_step("find out whether somebody stands in between; nothing was written"));
    };
    let Some(file) = known_hosts_of(&settings, ambient) else {
        let error = Error::new(
            ErrorKind::Invalid,
            "there is no home folder, and no `known_hosts` in the settings",
        );
        return Err(error);
    };
    let known = known_alike(ambient, &file, &name, &key.key).await?;
    if !known.is_empty() && !known.contains(&key.key) {
        let error = Error::new(
            ErrorKind::Unauthorized,
            format!("{name} is known by another key already"),
        );
        return Err(error.with("in", file.display()).next_step(format!(
            "find out whether the host was set up anew or somebody stands in between; whoever vouched for the old key \
             takes it back: ssh-keygen -R '{name}' -f {}",
            file.display()
        )));
    }
    if known.is_empty() {
        write(&file, &format!("{name} {}\n", key.key)).map_err(|native| {
            let message = format!("{} cannot be written", file.display());
            Error::new(ErrorKind::Unauthorized, message).caused_by(native)
        })?;
    }
    Ok(Trusted {
        name,
        shown,
        file: Some(file),
    })
}

/// The name of a host in an instance, which may be meant by its address.
fn named(settings: &Settings, host: &str) -> Option<String> {
    if settings.hosts.contains_key(host) {
        return Some(host.to_owned());
    }
    let meant = place(settings, host).ok()?;
    let mut hosts = settings.hosts.iter();
    hosts
        .find(|(name, known)| settings.place(name, known) == meant)
        .map(|(name, _)| name.clone())
}

/// Where a host is.
fn place(settings: &Settings, host: &str) -> Result<(String, u16)> {
    if let Some(known) = settings.hosts.get(host) {
        if let Some(via) = &known.via {
            let error = Error::new(ErrorKind::Unsupported, format!("{host} is reached through {via} alone"));
            return Err(error.next_step(format!("hosts.{host}.host_keys in the settings, as {via} sees it")));
        }
        return Ok(settings.place(host, known));
    }
    let invalid = || Error::new(ErrorKind::Invalid, format!("`{host}` is no address"));
    if let Some(rest) = host.strip_prefix('[') {
        let (address, port) = rest.split_once("]:").ok_or_else(invalid)?;
        return Ok((address.to_owned(), port.parse().map_err(|_| invalid())?));
    }
    // Nothing that `ssh-keyscan` would take for an option.
    if host.is_empty() || host.starts_with('-') || host.contains(char::is_whitespace) {
        return Err(invalid());
    }
    match host.split_once(':') {
        Some((address, port)) if !port.contains(':') => Ok((address.to_owned(), port.parse().map_err(|_| invalid())?)),
        _ => Ok((host.to_owned(), settings.port.unwrap_or(22))),
    }
}

/// The keys that a host shows, by `ssh-keyscan`.
async fn shown(ambient: &Ambient, address: &str, port: u16, name: &str) -> Result<Vec<ShownKey>> {
    let port = port.to_string();
    let scanned = tool(
        ambient,
        OPENSSH,
        "ssh-keyscan",
        &["-T", PATIENCE, "-p", &port, "--", address].map(AsRef::as_ref),
        b"",
    )
    .await?;
    let text = String::from_utf8_lossy(&scanned.stdout).into_owned();
    let mut shown = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((_, key)) = line.split_once(' ') else { continue };
        let told = tool(
            ambient,
            OPENSSH,
            "ssh-keygen",
            &["-l", "-f", "-"].map(AsRef::as_ref),
            key.as_bytes(),
        )
        .await?;
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        if let Some(fingerprint) = told.split_whitespace().nth(1) {
            shown.push(ShownKey {
                key: key.to_owned(),
                fingerprint: fingerprint.to_owned(),
            });
        }
    }
    if shown.is_empty() {
        let error = Error::new(ErrorKind::Unavailable, format!("{name} shows no key")).at(Verb::Check);
        let said = String::from_utf8_lossy(&scanned.stderr).into_owned();
        // It says the same of each kind of key.
        let mut lines: Vec<&str> = said.trim().lines().collect();
        lines.dedup();
        let why = lines.join("; ");
        return Err(if why.is_empty() {
            error
        } else {
            error.with("ssh-keyscan says", why)
        });
    }
    Ok(shown)
}

/// The keys of the same algorithm that a host is known by there.
async fn known_alike(ambient: &Ambient, file: &Path, name: &str, key: &str) -> Result<Vec<String>> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let algorithm = key.split_whitespace().next();
    let mut known = known_by(ambient, name, file).await?;
    known.retain(|known| known.split_whitespace().next() == algorithm);
    Ok(known)
}

/// Adds a line to a file of the user alone.
fn write(file: &Path, line: &str) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let ends_open = fs::read(file).is_ok_and(|text| text.last().is_some_and(|last| *last != b'\n'));
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(file)?;
    let line = if ends_open {
        format!("\n{line}")
    } else {
        line.to_owned()
    };
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_of_the_settings_or_an_address() {
        let settings =
            serde_json::json!({ "port": 2200, "hosts": { "a": { "host": "10.0.0.1" }, "b": { "via": "a" } } });
        let settings = Settings::read(settings).unwrap();
        for (host, address, port) in [
            ("a", "10.0.0.1", 2200),
            ("[h]:22", "h", 22),
            ("h:23", "h", 23),
            ("h", "h", 2200),
            ("::1", "::1", 2200),
            ("[::1]:7", "::1", 7),
        ] {
            assert_eq!(place(&settings, host).unwrap(), (address.to_owned(), port), "{host}");
        }
        for (host, name) in [
            ("a", Some("a")),
            ("10.0.0.1", Some("a")),
            ("[b]:2200", Some("b")),
            ("h", None),
        ] {
            assert_eq!(named(&settings, host).as_deref(), name, "{host}");
        }
        for wrong in ["b", "", "-oProxyCommand=x", "h:port", "[h]", "h h"] {
            assert!(place(&settings, wrong).is_err(), "{wrong}");
        }
    }
}
