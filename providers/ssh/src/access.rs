//! How the hosts of an instance are reached: its settings, and the keys that the user knows them by.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use encamp_core::{Ambient, Error, ErrorKind, Identity, Result, SshAccess};

use crate::config::{HostSettings, Settings};
use crate::tool::{OPENSSH, tool};

/// Finds the access of each host. Those whose key nobody knows have an error, which says what to do.
pub(crate) async fn find_all(settings: &Settings, ambient: &Ambient) -> BTreeMap<String, Result<SshAccess>> {
    let known_hosts = known_hosts_of(settings, ambient);
    let mut all = BTreeMap::new();
    for (name, host) in &settings.hosts {
        let found = find(settings, ambient, name, host, known_hosts.as_deref()).await;
        all.insert(name.clone(), found);
    }
    let direct = all.clone();
    for (name, access) in &mut all {
        if let Err(error) = through(settings, &direct, name, access) {
            *access = Err(error);
        }
    }
    all
}

/// The file with the keys that the user knows hosts by.
pub(crate) fn known_hosts_of(settings: &Settings, ambient: &Ambient) -> Option<PathBuf> {
    let named = settings.known_hosts.as_deref().map(|file| at_home(file, ambient));
    named.or_else(|| Some(ambient.home()?.join(".ssh/known_hosts")))
}

/// Puts the hosts before it into an access.
fn through(
    settings: &Settings,
    direct: &BTreeMap<String, Result<SshAccess>>,
    name: &str,
    access: &mut Result<SshAccess>,
) -> Result<()> {
    let Ok(mut at) = access.as_mut() else { return Ok(()) };
    let mut host = settings.hosts.get(name);
    while let Some(via) = host.and_then(|host| host.via.as_ref()) {
        let Some(before) = direct.get(via) else { return Ok(()) };
        let before = before.clone().map_err(|error| error.with("needed by", name))?;
        at = at.via.insert(Box::new(before));
        host = settings.hosts.get(via);
    }
    Ok(())
}

async fn find(
    settings: &Settings,
    ambient: &Ambient,
    name: &str,
    host: &HostSettings,
    known_hosts: Option<&Path>,
) -> Result<SshAccess> {
    let (address, port) = settings.place(name, host);
    let user = host.user.clone().or_else(|| settings.user.clone());
    let keys = if host.host_keys.is_empty() {
        known(ambient, &address, port, known_hosts).await?
    } else {
        host.host_keys.clone()
    };
    let mut access = SshAccess::new(address, user.unwrap_or_else(|| "root".to_owned()), keys);
    access.port = port;
    access.identity = match host.identity.as_ref().or(settings.identity.as_ref()) {
        Some(file) => Identity::File(at_home(file, ambient)),
        None => Identity::Agent,
    };
    Ok(access)
}

pub(crate) fn at_home(file: &Path, ambient: &Ambient) -> PathBuf {
    match (file.strip_prefix("~"), ambient.home()) {
        (Ok(below), Some(home)) => home.join(below),
        _ => file.to_owned(),
    }
}

/// The keys by which the user knows a host, hashed names included: `ssh-keygen` reads them.
async fn known(ambient: &Ambient, address: &str, port: u16, file: Option<&Path>) -> Result<Vec<String>> {
    let name = known_as(address, port);
    let keys = match file.filter(|file| file.exists()) {
        Some(file) => known_by(ambient, &name, file).await?,
        None => Vec::new(),
    };
    if keys.is_empty() {
        let error = Error::new(ErrorKind::Unauthorized, format!("nobody knows the host key of {name}"));
        return Err(error.next_step(format!(
            "`encamp trust {name}` shows the key; put it into `host_keys` once you have compared it, or vouch for it: \
             encamp trust {name} FINGERPRINT"
        )));
    }
    Ok(keys)
}

/// What a host is called in `known_hosts`.
pub(crate) fn known_as(address: &str, port: u16) -> String {
    if port == 22 {
        address.to_owned()
    } else {
        format!("[{address}]:{port}")
    }
}

/// The keys of a host, as that file names it.
pub(crate) async fn known_by(ambient: &Ambient, name: &str, file: &Path) -> Result<Vec<String>> {
    let find = ["-F".as_ref(), name.as_ref(), "-f".as_ref(), file.as_os_str()];
    let output = tool(ambient, OPENSSH, "ssh-keygen", &find, b"").await?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(key_of).collect())
}

/// The key of a line of `known_hosts`. Those of authorities and withdrawn ones are none.
fn key_of(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let name = words.next().filter(|word| !word.starts_with(['#', '@']))?;
    let (algorithm, key) = (words.next()?, words.next()?);
    (!name.is_empty()).then(|| format!("{algorithm} {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_authorities_and_remarks_are_no_keys() {
        assert_eq!(key_of("h ssh-ed25519 AAAA remark"), Some("ssh-ed25519 AAAA".to_owned()));
        for line in [
            "# Host h found: line 1",
            "@cert-authority h ssh-rsa AAAA",
            "@revoked h ssh-rsa AAAA",
            "h",
            "",
        ] {
            assert_eq!(key_of(line), None, "{line}");
        }
    }
}
