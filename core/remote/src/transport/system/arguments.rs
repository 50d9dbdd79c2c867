//! The arguments of the system's `ssh`. Pure.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::transport::Route;

/// What the host is called in our file of known hosts, whatever address and port the user's configuration leads to.
pub(super) const ALIAS: &str = "encamp";

/// Ours, whatever the user's configuration says: what a host may show, what we reveal, and how long silence lasts.
const ALWAYS: [&str; 21] = [
    // First: clients that do not know them yet end at them.
    "IgnoreUnknown=KnownHostsCommand,ForkAfterAuthentication",
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "KnownHostsCommand=none",
    "VerifyHostKeyDNS=no",
    "UpdateHostKeys=no",
    "CheckHostIP=no",
    "HashKnownHosts=no",
    "NoHostAuthenticationForLocalhost=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "Tunnel=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "ClearAllForwardings=yes",
    "ControlPersist=no",
    "ServerAliveCountMax=3",
    "ConnectionAttempts=1",
    // It tells which key the host showed, and how far a login came.
    "LogLevel=DEBUG1",
    "ForkAfterAuthentication=no",
];

/// What belongs to one connection.
pub(super) struct Arguments<'a> {
    pub(super) config: Option<&'a Path>,
    pub(super) socket: &'a Path,
    pub(super) known_hosts: &'a Path,
    pub(super) limit: Duration,
    pub(super) proxy: Option<String>,
}

impl Arguments<'_> {
    /// Of the process that holds the connection.
    pub(super) fn of_master(&self, route: &Route) -> Vec<OsString> {
        let mut all = Vec::new();
        if let Some(config) = self.config {
            all.extend(["-F".into(), config.into()]);
        }
        all.extend(["-M".into(), "-N".into(), "-S".into(), self.socket.into()]);
        let mut set = |option: String| all.extend([OsString::from("-o"), option.into()]);
        for option in ALWAYS {
            set(option.to_owned());
        }
        set(format!("HostKeyAlias={ALIAS}"));
        set(format!("UserKnownHostsFile={}", quoted(self.known_hosts)));
        set(format!("ConnectTimeout={}", self.limit.as_secs().max(1)));
        set(format!("ServerAliveInterval={}", route.keepalive.as_secs().max(1)));
        if let Some(key) = &route.key {
            set(format!("IdentityFile={}", quoted(key)));
            set("IdentitiesOnly=yes".to_owned());
            set("IdentityAgent=none".to_owned());
            set("PreferredAuthentications=publickey".to_owned());
        }
        if let Some(proxy) = &self.proxy {
            set(format!("ProxyCommand={proxy}"));
        }
        let access = &route.access;
        all.extend(["-p".into(), access.port.to_string().into()]);
        all.extend([
            "-l".into(),
            access.user.as_str().into(),
            "--".into(),
            access.host.as_str().into(),
        ]);
        all
    }
}

/// What a client of a master's socket begins with. Where the master is gone it must not connect by itself.
pub(super) fn of_client(socket: &Path) -> Vec<OsString> {
    let mut all: Vec<OsString> = ["-F", "/dev/null", "-S"].map(Into::into).to_vec();
    all.push(socket.into());
    for option in [
        "ProxyCommand=false",
        "ControlMaster=no",
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "EscapeChar=none",
    ] {
        all.extend(["-o".into(), option.into()]);
    }
    all
}

/// A path as a value of an option: `%` would begin a token there, and a space end the first of several files.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use encamp_core::SshAccess;

    use super::*;

    fn of_master(access: SshAccess, key: Option<&str>) -> Vec<String> {
        let arguments = Arguments {
            config: None,
            socket: Path::new("/run/s"),
            known_hosts: Path::new("/run/100% a"),
            limit: Duration::from_millis(200),
            proxy: None,
        };
        let route = Route {
            access,
            host_keys: Vec::new(),
            key: key.map(Into::into),
            keepalive: Duration::from_secs(15),
        };
        let all = arguments.of_master(&route).into_iter();
        all.map(|argument| argument.into_string().unwrap()).collect()
    }

    #[test]
    fn no_host_becomes_an_option() {
        let all = of_master(SshAccess::new("-oProxyCommand=id", "-v", vec![]), None);
        assert_eq!(all[all.len() - 4..], ["-l", "-v", "--", "-oProxyCommand=id"]);
    }

    #[test]
    fn what_older_clients_do_not_know_ends_none() {
        let all = of_master(SshAccess::new("h", "u", vec![]), None);
        let at = |text: &str| all.iter().position(|argument| argument.starts_with(text)).unwrap();
        for name in ["KnownHostsCommand", "ForkAfterAuthentication"] {
            assert!(all[at("IgnoreUnknown=")].contains(name));
            assert!(at("IgnoreUnknown=") < at(&format!("{name}=")), "{all:?}");
        }
    }

    #[test]
    fn a_key_of_our_own_is_the_only_one_offered() {
        let access = || SshAccess::new("h", "u", vec![]);
        let own = of_master(access(), Some("/k"));
        assert!(own.contains(&"IdentitiesOnly=yes".to_owned()) && own.contains(&"IdentityAgent=none".to_owned()));
        let agent = of_master(access(), None);
        assert!(!agent.iter().any(|argument| argument.starts_with("Identit")));
        assert!(agent.contains(&"UserKnownHostsFile=\"/run/100%% a\"".to_owned()));
        assert!(agent.contains(&"ConnectTimeout=1".to_owned()));
    }
}
