//! Becoming a command: a session of its own, its terminal, its user, its folder.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use encamp_core::helper;

use super::complain;
use crate::message::Command;

/// A shell's words for a command that is not there, and for one that cannot be executed.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// Becomes the command; comes back only where that is not possible.
pub(super) fn become_it(command: &Command) -> ExitCode {
    match attempt(command) {
        Ok(error) => {
            let program = command.argv.first().map_or("", String::as_str);
            complain(&format!("`{program}` cannot be run: {error}"));
            ExitCode::from(if error.kind() == io::ErrorKind::NotFound {
                NOT_FOUND
            } else {
                NOT_EXECUTABLE
            })
        }
        Err(text) => {
            complain(&text);
            ExitCode::from(NOT_EXECUTABLE)
        }
    }
}

/// The error of the execution, or what could not be done before it.
fn attempt(command: &Command) -> Result<io::Error, String> {
    let not_set = |what: &'static str| move |error: rustix::io::Errno| format!("{what} cannot be set: {error}");
    rustix::process::setsid().map_err(not_set("the session"))?;
    let stdin = io::stdin();
    let (program, arguments) = command.argv.split_first().ok_or("there is no command to run")?;
    let mut next = std::process::Command::new(program);
    next.args(arguments).env_remove(helper::VARIABLE);
    let user = command.user.as_deref().map(User::read).transpose()?;
    if command.tty {
        rustix::process::ioctl_tiocsctty(&stdin).map_err(not_set("the terminal"))?;
        if let Some(user) = &user {
            // Best effort: where the device is not the machine's, programs still have it open.
            let owner = rustix::fs::Uid::from_raw(user.uid);
            let _ = rustix::fs::fchown(&stdin, Some(owner), None);
        }
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    if let Some(user) = user {
        next.uid(user.uid).gid(user.gid);
        if let Some(home) = user.home.filter(|_| command.users_home) {
            next.env("HOME", home);
        }
    }
    fs::metadata(&command.cwd)
        .and_then(|_| std::env::set_current_dir(&command.cwd))
        .map_err(|error| format!("there is no folder `{}` to run in: {error}", command.cwd))?;
    Ok(next.exec())
}

/// A user, by the machine's own tables.
struct User {
    uid: u32,
    gid: u32,
    home: Option<String>,
}

impl User {
    /// `name`, `uid`, `uid:gid` or `name:group`.
    fn read(text: &str) -> Result<Self, String> {
        let (user, group) = text
            .split_once(':')
            .map_or((text, None), |(user, group)| (user, Some(group)));
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let entry = entry(&users, user, 2);
        let number = |field: Option<&&str>| field.and_then(|field| field.parse().ok());
        let uid = user.parse().ok().or_else(|| number(entry.as_ref()?.get(2)));
        let uid = uid.ok_or_else(|| format!("the machine knows no user `{user}`"))?;
        let gid = match group {
            None => entry.as_ref().and_then(|entry| number(entry.get(3))).unwrap_or(uid),
            Some(group) => {
                let groups = fs::read_to_string("/etc/group").unwrap_or_default();
                let known = || self::entry(&groups, group, 2).and_then(|entry| number(entry.get(2)));
                let gid = group.parse().ok().or_else(known);
                gid.ok_or_else(|| format!("the machine knows no group `{group}`"))?
            }
        };
        let home = entry.and_then(|entry| entry.get(5).map(|home| (*home).to_owned()));
        Ok(Self { uid, gid, home })
    }
}

/// The line of a table whose name, or whose number, is this.
fn entry<'t>(table: &'t str, wanted: &str, number: usize) -> Option<Vec<&'t str>> {
    let lines = table.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut fitting = lines.filter(|fields| fields.first() == Some(&wanted) || fields.get(number) == Some(&wanted));
    fitting.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_known_by_name_and_number() {
        let root = User::read("root").unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        let other = User::read("54321:12").unwrap();
        assert_eq!((other.uid, other.gid, other.home), (54321, 12, None));
        assert!(User::read("nobody-is-called-so").is_err());
    }
}
