//! What the system's `ssh` says on its standard error, and what that means.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStderr;
use tokio::sync::watch;

use crate::error::Failure;
use crate::transport::Route;

/// How many lines are kept; a login says about a hundred.
const LINES_MAX: usize = 300;
const LINE_BYTES_MAX: usize = 1000;
/// How long a reason may come after the client that it is about has ended.
const REASON_WAIT_MAX: Duration = Duration::from_secs(1);
/// What stands before it.
const NOT_OPENED: &str = ": open failed: ";

/// The last lines of one process.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// How many reasons there were.
    not_opened: watch::Sender<usize>,
    ended: Arc<tokio::sync::Notify>,
}

impl Words {
    /// Reads along until the process ends.
    pub(super) fn listen(stderr: Option<ChildStderr>) -> Self {
        let words = Self::default();
        let own = words.clone();
        if let Some(stderr) = stderr {
            tokio::spawn(async move {
                let mut lines = BufReader::new(stderr).split(b'\n');
                // What is not written in UTF-8 is no end.
                while let Ok(Some(line)) = lines.next_segment().await {
                    let mut line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                    line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
                    own.push(line);
                }
                own.ended.notify_one();
            });
        } else {
            own.ended.notify_one();
        }
        words
    }

    /// Completes when the process says no more, once.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }

    fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        let is_reason = line.contains(NOT_OPENED);
        lines.push_back(line);
        drop(lines);
        if is_reason {
            self.not_opened.send_modify(|count| *count += 1);
        }
    }

    /// Why a login failed. The last words may arrive after the process has ended.
    pub(super) async fn failure(&self, route: &Route) -> Failure {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.ended()).await;
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        judge(lines.iter().map(String::as_str), route)
    }

    /// How many channels the host has not opened so far.
    pub(super) fn not_opened(&self) -> usize {
        *self.not_opened.borrow()
    }

    /// Why the host opened no channel, as the master told it last: `connect failed: Connection refused`. It and the client
    /// speak apart, so its line may come a moment later; those before it, `former` of them, are about others.
    pub(super) async fn why_not_opened(&self, former: usize) -> Option<String> {
        let mut count = self.not_opened.subscribe();
        let come = count.wait_for(|count| *count > former);
        tokio::time::timeout(REASON_WAIT_MAX, come).await.ok()?.ok()?;
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let told = lines.iter().rev().find_map(|line| line.split_once(NOT_OPENED));
        told.map(|(_, why)| why.trim().to_owned())
    }

    /// The last thing that it said for people.
    pub(super) fn last(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        last_for_people(lines.iter().map(String::as_str)).unwrap_or_default()
    }
}

fn last_for_people<'a>(lines: impl DoubleEndedIterator<Item = &'a str>) -> Option<String> {
    let mut told = lines
        .rev()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("debug"));
    told.next().map(str::to_owned)
}

/// From the client's lines to what stopped the login.
fn judge<'a>(lines: impl DoubleEndedIterator<Item = &'a str> + Clone, route: &Route) -> Failure {
    let has = |text: &str| lines.clone().find(|line| line.contains(text));
    if has("Host key verification failed").is_some() || has("REMOTE HOST IDENTIFICATION HAS CHANGED").is_some() {
        // Behind a jump host of the user's own configuration, it is about that one: our host was not asked yet.
        let ours = lines
            .clone()
            .rev()
            .find_map(|line| line.split_once("Server host key: "));
        let seen = ours
            .and_then(|(_, key)| key.split_whitespace().nth(1))
            .map(str::to_owned);
        return if route.host_keys.is_empty() {
            Failure::UnknownKey { seen }
        } else {
            Failure::ChangedKey { seen }
        };
    }
    if has("no matching host key type found").is_some() && !route.host_keys.is_empty() {
        return Failure::ChangedKey { seen: None };
    }
    if let Some(line) = has("Permission denied (").or_else(|| has("Too many authentication failures")) {
        let keys = lines
            .clone()
            .filter_map(|line| line.split_once("Offering public key: "));
        let offered: Vec<_> = keys.map(|(_, key)| shorten_key(key)).collect();
        let loaded = lines
            .clone()
            .find(|line| line.starts_with("Load key "))
            .and_then(|line| line.split_once("\": "));
        return match (offered.is_empty(), loaded, &route.key) {
            (true, Some((_, why)), Some(key)) => Failure::Key {
                file: key.display().to_string(),
                why: why.to_owned(),
            },
            (true, _, Some(key)) if !key.exists() => Failure::Key {
                file: key.display().to_string(),
                why: "it is not there".to_owned(),
            },
            (true, ..) => Failure::Login {
                offered: format!("no key at all ({})", line.trim()),
            },
            (false, ..) => Failure::Login {
                offered: offered.join(", "),
            },
        };
    }
    let connect = |reason: &str| has(reason).filter(|line| line.contains("connect"));
    if has("Could not resolve hostname").is_some() {
        return Failure::Name;
    }
    if connect("Connection refused").is_some() {
        return Failure::Closed;
    }
    for why in [
        "No route to host",
        "Network is unreachable",
        "Connection timed out",
        "Operation timed out",
    ] {
        if has(why).is_some() {
            return Failure::Route {
                why: why.to_lowercase(),
            };
        }
    }
    let before_banner = [
        "kex_exchange_identification: ",
        "banner exchange: ",
        "ssh_exchange_identification: ",
    ];
    if let Some(line) = before_banner.iter().find_map(|text| has(text)) {
        let why = line.split_once(": ").map_or(line, |(_, why)| why);
        return Failure::HungUp {
            why: why.trim().to_lowercase(),
        };
    }
    let why = last_for_people(lines).unwrap_or_else(|| "ssh ended without a word".to_owned());
    if why.starts_with("Connection closed by") || why.starts_with("Connection reset by") {
        return Failure::HungUp {
            why: why.to_lowercase(),
        };
    }
    // Told under the name of whatever read or wrote then.
    let cut = [": Broken pipe", ": Connection reset by peer", " closed by remote host."];
    if let Some(cut) = cut.iter().find(|cut| why.ends_with(*cut)) {
        return Failure::HungUp {
            why: cut.trim_start_matches([':', ' ']).trim_end_matches('.').to_lowercase(),
        };
    }
    Failure::Other { why }
}

/// `/home/u/.ssh/id ED25519 SHA256:… agent` without where it came from.
fn shorten_key(key: &str) -> String {
    let words: Vec<_> = key.split_whitespace().collect();
    match words.iter().position(|word| word.starts_with("SHA256:")) {
        Some(at) => words[..=at].join(" "),
        None => key.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use encamp_core::SshAccess;

    use super::*;
    use crate::fingerprint::HostKey;

    fn judged(text: &str) -> Failure {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        let route = Route {
            access: SshAccess::new("h", "u", vec![]),
            host_keys: vec![HostKey::parse(key).unwrap()],
            key: Some("/k".into()),
            keepalive: Duration::from_secs(15),
        };
        judge(text.lines(), &route)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reason_that_comes_late_is_waited_for() {
        let words = Words::default();
        words.push("channel 1: open failed: first".to_owned());
        assert_eq!(words.why_not_opened(0).await.as_deref(), Some("first"));
        let late = async {
            tokio::time::sleep(REASON_WAIT_MAX / 2).await;
            words.push("channel 2: open failed: connect failed: Connection refused".to_owned());
        };
        let (second, ()) = tokio::join!(words.why_not_opened(1), late);
        assert_eq!(second.as_deref(), Some("connect failed: Connection refused"));
        assert_eq!(words.not_opened(), 2);
        words.push("something else".to_owned());
        assert_eq!(words.why_not_opened(2).await, None, "it is not waited for ever");
    }

    #[tokio::test]
    async fn what_is_said_in_another_encoding_is_no_end() {
        let mut child = tokio::process::Command::new("sh")
            .args(["-c", r"printf 'a\377b\r\nlast\r\n' >&2"])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let words = Words::listen(child.stderr.take());
        words.ended().await;
        assert_eq!(words.last(), "last");
        assert_eq!(words.lines.lock().unwrap()[0], "a\u{fffd}b");
    }

    #[test]
    fn the_clients_words_are_told_apart() {
        let cases = [
            (
                "debug1: Server host key: ssh-ed25519 SHA256:abc\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                Failure::ChangedKey {
                    seen: Some("SHA256:abc".into()),
                },
            ),
            (
                "debug1: Offering public key: /k ED25519 SHA256:def explicit\nu@h: Permission denied (publickey).",
                Failure::Login {
                    offered: "/k ED25519 SHA256:def".into(),
                },
            ),
            (
                "Load key \"/k\": error in libcrypto\nu@h: Permission denied (publickey).",
                Failure::Key {
                    file: "/k".into(),
                    why: "error in libcrypto".into(),
                },
            ),
            (
                "ssh: Could not resolve hostname h: Name or service not known",
                Failure::Name,
            ),
            ("ssh: connect to host h port 22: Connection refused", Failure::Closed),
            (
                "ssh: connect to host h port 22: No route to host",
                Failure::Route {
                    why: "no route to host".into(),
                },
            ),
            (
                "kex_exchange_identification: read: Connection reset by peer",
                Failure::HungUp {
                    why: "read: connection reset by peer".into(),
                },
            ),
            (
                "debug1: expecting SSH2_MSG_KEX_ECDH_REPLY\nssh_dispatch_run_fatal: Connection to 127.0.0.1 port 22: Broken pipe",
                Failure::HungUp {
                    why: "broken pipe".into(),
                },
            ),
            (
                "ssh: connect to host 127.0.0.1 port 22: Connection reset by peer",
                Failure::HungUp {
                    why: "connection reset by peer".into(),
                },
            ),
            (
                "Connection to 127.0.0.1 closed by remote host.",
                Failure::HungUp {
                    why: "closed by remote host".into(),
                },
            ),
            (
                "debug1: a\nsomething else\ndebug1: b",
                Failure::Other {
                    why: "something else".into(),
                },
            ),
        ];
        for (text, failure) in cases {
            assert_eq!(judged(text), failure, "{text}");
        }
    }
}
