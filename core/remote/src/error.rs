//! What can go wrong between here and a host, each with what mends it. Pure.

use encamp_core::{Error, ErrorKind, Identity, Retry, SshAccess};

/// `user@host:port`, as messages name a host.
pub(crate) fn place(access: &SshAccess) -> String {
    let SshAccess { user, host, port, .. } = access;
    match (host.contains(':'), *port) {
        (_, 22) => format!("{user}@{host}"),
        (true, port) => format!("{user}@[{host}]:{port}"),
        (false, port) => format!("{user}@{host}:{port}"),
    }
}

/// How `ssh` itself would be called, for a next step that can be typed.
fn by_hand(access: &SshAccess) -> String {
    let SshAccess { user, host, port, .. } = access;
    if *port == 22 {
        format!("ssh {user}@{host}")
    } else {
        format!("ssh -p {port} {user}@{host}")
    }
}

/// What the command line calls the host.
fn named(access: &SshAccess) -> String {
    let SshAccess { host, port, .. } = access;
    if *port == 22 {
        host.clone()
    } else {
        format!("[{host}]:{port}")
    }
}

/// What stopped a connection, before anything was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody has said which key the host has.
    UnknownKey { seen: Option<String> },
    /// The host shows another key than those that it is known by.
    ChangedKey { seen: Option<String> },
    /// The host refuses the login.
    Login { offered: String },
    /// The private key cannot be used.
    Key { file: String, why: String },
    /// The name is not known.
    Name,
    /// There is no way to the address.
    Route { why: String },
    /// Nothing listens there.
    Closed,
    /// The host hangs up before anybody could log in, as sshd does when too many try at once.
    HungUp { why: String },
    /// Anything else, in the client's words.
    Other { why: String },
}

impl Failure {
    /// The error of the contract. `expected`: the fingerprints that the host is known by.
    pub(crate) fn translate(self, access: &SshAccess, expected: &[String]) -> Error {
        let at = place(access);
        let error = match self {
            Self::UnknownKey { seen } => {
                let error = Error::new(
                    ErrorKind::Unauthorized,
                    format!("nobody has vouched for the host key of {at}"),
                );
                match seen {
                    Some(seen) => error.with("seen", &seen).next_step(format!(
                        "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host, then `encamp trust {} {seen}`",
                        named(access)
                    )),
                    None => error,
                }
            }
            Self::ChangedKey { seen } => {
                let error = Error::new(
                    ErrorKind::Unauthorized,
                    format!("{at} shows another host key than the one it is known by; nothing was sent"),
                )
                .with("seen", seen.as_deref().unwrap_or("not told"))
                .with("expected", expected.join(" or "));
                error.next_step(
                    "find out whether the host was set up anew or somebody stands in between; the one who vouched for \
                     the old key must take it back",
                )
            }
            Self::Login { offered } => Error::new(ErrorKind::Unauthorized, format!("{at} refuses the login"))
                .with("offered", offered)
                .next_step(match &access.identity {
                    Identity::Agent => format!(
                        "see `ssh-add -l` for the keys of your agent; one of them must be in the host's \
                         `~{}/.ssh/authorized_keys`",
                        access.user
                    ),
                    _ => format!(
                        "the key must be in the host's `~{}/.ssh/authorized_keys`; is the user right?",
                        access.user
                    ),
                }),
            Self::Key { file, why } => Error::new(
                ErrorKind::Invalid,
                format!("the private key for {at} cannot be used: {why}"),
            )
            .with("file", &file)
            .next_step(format!("see `ssh-keygen -yf {file}`; it must open without a question")),
            Self::Name => Error::new(
                ErrorKind::NotFound,
                format!("no address is known for `{}`", access.host),
            )
            .next_step(format!("see `getent hosts {}`", access.host)),
            Self::Route { why } => Error::new(ErrorKind::Unavailable, format!("there is no way to {at}: {why}"))
                .retry(Retry::Safe)
                .next_step(format!(
                    "see `{}`; is the host up, and does a firewall let you through?",
                    by_hand(access)
                )),
            Self::Closed => Error::new(
                ErrorKind::Unavailable,
                format!("nothing listens at {at}: connection refused"),
            )
            .retry(Retry::Safe)
            .next_step("is sshd running there, and on this port?"),
            Self::HungUp { why } => Error::new(ErrorKind::Throttled, format!("{at} hangs up before the login: {why}"))
                .retry(Retry::Safe)
                .next_step("sshd drops logins beyond its `MaxStartups`; raise it, or look into the host's log"),
            Self::Other { why } => Error::new(ErrorKind::Unavailable, format!("no connection to {at}: {why}"))
                .retry(Retry::Safe)
                .next_step(format!("see `{} true`", by_hand(access))),
        };
        error.with("host", at)
    }
}

/// sshd gives no session at all on a fresh connection.
pub(crate) fn no_sessions(access: &SshAccess) -> Error {
    Error::new(
        ErrorKind::Quota,
        format!("{} gives no session on a new connection", place(access)),
    )
    .retry(Retry::Safe)
    .with("host", place(access))
    .next_step("raise `MaxSessions` in the host's sshd_config")
}

/// All sessions that the host's connections take are in use.
pub(crate) fn busy(access: &SshAccess, sessions_max: usize) -> Error {
    let at = place(access);
    Error::new(
        ErrorKind::Quota,
        format!("all sessions that {at} takes were in use until the deadline"),
    )
    .retry(Retry::Safe)
    .with("host", at)
    .next_step(format!(
        "end commands that run there, or raise `MaxSessions` in the host's sshd_config where that is below {sessions_max}"
    ))
}

/// What the script on the host refused to go on for.
pub(crate) fn refused(access: &SshAccess, word: &str) -> Error {
    let at = place(access);
    let (what, rest) = word.split_once(' ').unwrap_or((word, ""));
    let error = match what {
        "full" => Error::new(
            ErrorKind::Quota,
            format!("the disk of {at} is full at {rest}, so no command can be run"),
        )
        .next_step(format!("make room below {rest} on the host")),
        "folder" => Error::new(ErrorKind::Unavailable, format!("{at} lets no folder be made in {rest}"))
            .next_step(format!("make {rest} writable for the user, with room in it")),
        "path" => Error::new(ErrorKind::NotFound, format!("{at} has no {rest}")),
        "cwd" => Error::new(
            ErrorKind::NotFound,
            format!("{at} has no folder {rest} to run the command in"),
        ),
        "user" => Error::new(
            ErrorKind::Unsupported,
            format!("{at} lets `{}` run nothing as `{rest}`", access.user),
        )
        .next_step(format!(
            "allow it in the host's sudoers: `{} ALL=({rest}) NOPASSWD: ALL`",
            access.user
        )),
        _ => Error::new(ErrorKind::Internal, format!("{at} does not go on: {word}")),
    };
    error.with("host", at)
}

/// The guard in front of commands says why it lets none through now.
pub(crate) fn held_off(access: &SshAccess, why: &str) -> Error {
    let at = place(access);
    Error::new(ErrorKind::Conflict, format!("{at}: {why}"))
        .retry(Retry::Never)
        .with("host", at)
}

/// The login shell did not get as far as the first line of our script.
pub(crate) fn no_shell(access: &SshAccess, said: &str) -> Error {
    let at = place(access);
    let said = said.trim();
    let error = if said.contains("not found") || said.contains("No such file") {
        Error::new(
            ErrorKind::Unsupported,
            format!("{at} has no `sh`, or no `dd`, in its PATH"),
        )
        .next_step("commands there need a POSIX sh and coreutils, or busybox, in the PATH of logins without a terminal")
    } else if access.prefix.is_empty() {
        Error::new(
            ErrorKind::Unavailable,
            format!("{at} ended the session before the command began"),
        )
        .next_step(format!("see `{} true`", by_hand(access)))
    } else {
        // The guard refused, or is not there.
        Error::new(
            ErrorKind::Unauthorized,
            format!("{at}: `{}` did not let the command through", access.prefix[0]),
        )
    };
    let error = if said.is_empty() {
        error
    } else {
        error.with("said", said.to_owned())
    };
    error.with("host", at)
}
