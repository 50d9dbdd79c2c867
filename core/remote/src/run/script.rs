//! Puts scripts together. Pure, but for the run's id.

use std::fmt::Write as _;

use encamp_core::shell::{is_variable, quote, quote_all};
use encamp_core::{Env, Error, ErrorKind, Exec, Result, Signal, Size};

const COMMON: &str = include_str!("common.sh");
const START: &str = include_str!("start.sh");
const FEED: &str = include_str!("feed.sh");
const ATTACH: &str = include_str!("attach.sh");
const SIGNAL: &str = include_str!("signal.sh");
const STORE: &str = include_str!("store.sh");
const TERMINAL: &str = include_str!("terminal.sh");

/// How much of a stream is kept on the host behind what a session has taken, and before a command has to wait: more
/// than what can be under way in a connection.
const ROOM_BYTES: u32 = 4 << 20;
/// In tenths of a second: how long a command that nobody listens to waits before what it says is thrown away.
const PATIENCE_TENTHS: u32 = 15 * 60 * 10;
/// In minutes: how old what was left behind must be, to be swept.
const STALE_MINUTES: u32 = 60;

/// Variables that a shell keeps for itself; they are set by `env`.
const OF_THE_SHELL: [&str; 13] = [
    "IFS",
    "PPID",
    "UID",
    "EUID",
    "GID",
    "EGID",
    "LINENO",
    "OPTIND",
    "OPTARG",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "_",
];

/// Names one run, and its folder on the host. Random, so that nobody guesses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunId(String);

impl RunId {
    pub(crate) fn fresh() -> Result<Self> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).map_err(|native| {
            Error::new(ErrorKind::Internal, "the host gives no randomness").caused_by(native.to_string())
        })?;
        Ok(Self(data_encoding::HEXLOWER.encode(&bytes)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A script, and the run that it speaks for.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) id: RunId,
    pub(crate) text: String,
}

impl Script {
    fn of(id: &RunId, parts: &[&str]) -> Self {
        let mut text = format!("id={}\n", id.as_str());
        text.extend(parts.iter().copied());
        text.push_str("\nmain\n");
        Self { id: id.clone(), text }
    }

    /// The line for the login shell that reads this script.
    pub(crate) fn line(&self, prefix: &[String]) -> String {
        // Each dd writes what it read to its standard error; what comes before our first word is nobody's.
        let read = format!("eval \"$(dd bs={} count=1 iflag=fullblock)\"", self.text.len());
        line(prefix, &format!("sh -c '{read}'"))
    }

    /// A script of its own: `main` of `body`, with everything that all have.
    pub(crate) fn plain(id: &RunId, body: &str) -> Self {
        Self::of(id, &[COMMON, body])
    }

    /// Signals the command of a run.
    pub(crate) fn signal(id: &RunId, signal: &Signal, user: Option<&str>) -> Self {
        let strike = match user {
            None => format!("kill -{signal} \"-$group\""),
            Some(user) => format!(
                "sudo -n -u {} -- sh -c 'kill -{signal} \"-$1\"' sh \"$group\"",
                quote(user)
            ),
        };
        Self::of(id, &[COMMON, &format!("strike() {{ {strike}; }}\n"), SIGNAL])
    }

    /// Tells the terminal of a run its size.
    pub(crate) fn resize(id: &RunId, size: Size) -> Self {
        let Size { rows, cols, .. } = size;
        let body = format!(
            "main() {{\n    tty=\n    read -r tty <\"$d/tty\" && stty rows {rows} cols {cols} <\"$tty\"\n    say resized\n}}\n"
        );
        Self::plain(id, &body)
    }

    /// Removes what a run has left.
    pub(crate) fn forget(id: &RunId) -> Self {
        Self::plain(id, "main() { rm -rf \"$d\"; say forgotten; }\n")
    }

    /// Finds a run again and goes on behind so many bytes of either output.
    pub(crate) fn attach(id: &RunId, input: bool, had: (u64, u64)) -> Self {
        let input = if input { "yes" } else { "" };
        let position = format!("input={input} had_o={} had_e={}\n", had.0, had.1);
        Self::of(id, &[&position, COMMON, ATTACH, FEED])
    }
}

/// A command line of the login shell, with the guard of the access in front.
pub(crate) fn line(prefix: &[String], rest: &str) -> String {
    let mut line = "exec ".to_owned();
    if !prefix.is_empty() {
        line.push_str(&quote_all(prefix));
        line.push(' ');
    }
    line.push_str(rest);
    line
}

/// A command as it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) argv: Vec<String>,
    pub(crate) env: Env,
    pub(crate) cwd: Option<String>,
    /// Another user than the one that logs in.
    pub(crate) user: Option<String>,
    pub(crate) input: bool,
}

impl Job {
    /// Checked: what no process can be given is refused here.
    pub(crate) fn new(request: Exec, login: &str) -> Result<Self> {
        let invalid = |why: &'static str| Err(Error::new(ErrorKind::Invalid, why));
        if request.argv.is_empty() {
            return invalid("there is no command to run");
        }
        let user = request.user.filter(|user| user != login);
        let words = request
            .argv
            .iter()
            .chain(request.env.values())
            .chain(request.env.keys());
        if words.chain(&request.cwd).chain(&user).any(|word| word.contains('\0')) {
            return invalid("a command, its variables and its folder cannot hold a NUL");
        }
        if request.env.keys().any(|name| name.is_empty() || name.contains('=')) {
            return invalid("the name of a variable is empty or has a `=`");
        }
        Ok(Self {
            argv: request.argv,
            env: request.env,
            cwd: request.cwd,
            user,
            input: request.stdin,
        })
    }

    /// Starts the command apart from its session; `sweeps` what former ones have left.
    pub(crate) fn start(&self, id: &RunId, sweeps: bool) -> Script {
        let (input, stale) = (if self.input { "yes" } else { "" }, STALE_MINUTES.to_string());
        let stale = if sweeps { stale.as_str() } else { "" };
        let values = format!("input={input} room={ROOM_BYTES} patience={PATIENCE_TENTHS} stale={stale}\n");
        Script::of(id, &[&values, COMMON, &self.launch(true), &self.prepare(), START, FEED])
    }

    /// Lays down what a session with a terminal then runs: `exec sh FOLDER/run`.
    pub(crate) fn store(&self, id: &RunId, size: Size) -> Script {
        let Size { rows, cols, .. } = size;
        let end = format!("ENCAMP_{}", id.as_str());
        let run = format!(
            "id={} rows={rows} cols={cols}\n{}{TERMINAL}",
            id.as_str(),
            self.launch(false)
        );
        let keep = format!(
            "keep() {{\numask \"$mask\"; umask 077\ncat >\"$d/run.$$\" <<'{end}' && mv \"$d/run.$$\" \"$d/run\"\n{run}\n{end}\n}}\n"
        );
        Script::of(id, &[COMMON, &self.prepare(), &keep, STORE])
    }

    /// The function that becomes the command. It uses no variable once the user's are set: theirs may have any name.
    fn launch(&self, apart: bool) -> String {
        let mut text = "launch() {\n".to_owned();
        if apart {
            // The leader of a group of its own, which signals are sent to. GNU's `timeout` is one too.
            text.push_str("umask \"$mask\"\nif p=$(command -v setsid); then set -- \"$p\"\n");
            text.push_str("elif p=$(command -v timeout) && \"$p\" 0 true; then set -- \"$p\" 0\nelse set --; fi\n");
        } else {
            text.push_str("set --\n");
        }
        let (mut exported, mut by_env) = (Vec::new(), Vec::new());
        for (name, value) in &self.env {
            if is_variable(name) && !OF_THE_SHELL.contains(&name.as_str()) {
                exported.push((name, value));
            } else {
                by_env.push(format!("{name}={value}"));
            }
        }
        if let (None, Some(cwd)) = (&self.user, &self.cwd) {
            let _ = writeln!(text, "cd {} || exit 126", quote(&rooted(cwd)));
        }
        for (name, value) in &exported {
            let _ = writeln!(text, "export {name}={}", quote(value));
        }
        text.push_str("exec \"$@\"");
        let mut words = Vec::new();
        if let Some(user) = &self.user {
            words.extend(["sudo", "-n"].map(str::to_owned));
            if !exported.is_empty() {
                let names: Vec<_> = exported.iter().map(|(name, _)| name.as_str()).collect();
                words.push(format!("--preserve-env={}", names.join(",")));
            }
            words.extend(["-u", user, "--"].map(str::to_owned));
            if let Some(cwd) = &self.cwd {
                words.extend(["sh", "-c", r#"cd "$1" && shift && exec "$@""#, "sh", cwd].map(str::to_owned));
            }
        }
        if !by_env.is_empty() {
            words.push("env".to_owned());
            words.extend(by_env);
        }
        words.extend(self.argv.iter().cloned());
        let _ = writeln!(text, " {}\n}}", quote_all(words));
        text
    }

    /// What is looked at before the command is begun, so that it is told as an error and not as a status.
    fn prepare(&self) -> String {
        let mut text = "prepare() {\n:\n".to_owned();
        match (&self.user, &self.cwd) {
            (None, None) => {}
            (None, Some(cwd)) => {
                let _ = writeln!(
                    text,
                    "(cd {}) || give_up {}",
                    quote(&rooted(cwd)),
                    quote(&format!("cwd {cwd}"))
                );
            }
            (Some(user), cwd) => {
                let sudo = format!("sudo -n -u {} --", quote(user));
                let _ = writeln!(text, "{sudo} true || give_up {}", quote(&format!("user {user}")));
                if let Some(cwd) = cwd {
                    let (words, told) = (quote_all(["sh", cwd]), format!("cwd {cwd}"));
                    let _ = writeln!(text, "{sudo} sh -c 'cd \"$1\"' {words} || give_up {}", quote(&told));
                }
            }
        }
        text.push_str("}\n");
        text
    }
}

/// A folder that `cd` cannot take for an option, nor for the one before.
fn rooted(folder: &str) -> String {
    if folder.starts_with('-') {
        format!("./{folder}")
    } else {
        folder.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use encamp_core::{Key, Labels, Site, Stamp, Target, Token};

    use super::*;

    fn request(argv: &[&str]) -> Exec {
        let stamp = Stamp::new(Key::new("k"), Token::new("t"), Labels::new());
        Exec::new(Target::new(stamp, Site::new("ssh:x"), None), argv.iter().copied())
    }

    #[test]
    fn nothing_of_the_command_stands_in_the_line_of_the_login_shell() {
        let job = Job::new(request(&["echo", "s3cret"]), "root").unwrap();
        let script = job.start(&RunId("07".into()), true);
        let line = script.line(&["guard".into(), "a b".into()]);
        assert_eq!(
            line,
            format!(
                "exec guard 'a b' sh -c 'eval \"$(dd bs={} count=1 iflag=fullblock)\"'",
                script.text.len()
            )
        );
        assert!(script.text.contains("exec \"$@\" echo s3cret\n"));
    }

    #[test]
    fn what_no_process_can_be_given_is_refused() {
        assert!(Job::new(request(&[]), "root").is_err());
        assert!(Job::new(request(&["a\0b"]), "root").is_err());
        for name in ["", "a=b", "a\0b"] {
            let mut with = request(&["true"]);
            with.env.insert(name.into(), "x".into());
            assert!(Job::new(with, "root").is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_script_that_arrives_in_part_does_nothing() {
        let job = Job::new(request(&["touch", "/nowhere/encamp"]), "root").unwrap();
        let text = job.start(&RunId("07".into()), true).text;
        assert!(text.ends_with("\nmain\n"));
        let calls = |line: &&str| ["main", "supervise", "launch"].contains(line);
        assert_eq!(
            text.lines().filter(calls).count(),
            1,
            "only the last line, at the margin, begins anything"
        );
    }

    #[test]
    fn a_signal_waits_for_a_command_that_is_about_to_begin() {
        let place = tempfile::tempdir().unwrap();
        let text = Script::signal(&RunId("07".into()), &Signal::Term, None).text;
        let functions = text.strip_suffix("main\n").unwrap();
        for (supervisor, said) in [("$began", "ended"), ("1", "!signal")] {
            // Its pauses take no time; what it waits for comes in the hundredth.
            let script = format!(
                "{functions}sleep() {{ [ $turns != 100 ] || : >\"$d/exit\"; }}\nrm -rf \"$d\"; mkdir \"$d\"; began $$\n\
                 echo \"$$ {supervisor}\" >\"$d/supervisor\"\nmain\n"
            );
            let output = std::process::Command::new("sh")
                .args(["-c", &script])
                .env("XDG_RUNTIME_DIR", place.path())
                .output()
                .unwrap();
            let words = String::from_utf8_lossy(&output.stderr);
            assert_eq!(words, format!("\u{1e}encamp-07:{said}\u{1e}"));
        }
    }

    #[test]
    fn scripts_are_understood_by_each_shell() {
        let mut with = request(&["it's", "$(x)"]);
        with.env.insert("A".into(), "b\nc".into());
        with.env.insert("a.b".into(), "'".into());
        with.cwd = Some("/a b".into());
        with.user = Some("other".into());
        let job = Job::new(with, "root").unwrap();
        let id = RunId("07".into());
        let scripts = [
            job.start(&id, true),
            job.store(&id, Size::new(24, 80)),
            Script::attach(&id, true, (1, 2)),
            Script::signal(&id, &Signal::Term, Some("other")),
            Script::signal(&id, &Signal::Term, None),
            Script::resize(&id, Size::new(24, 80)),
            Script::forget(&id),
        ];
        for shell in [&["sh"][..], &["bash", "--posix"], &["busybox", "sh"]] {
            for script in &scripts {
                let output = std::process::Command::new(shell[0])
                    .args(&shell[1..])
                    .args(["-n", "-c", &script.text])
                    .output()
                    .unwrap();
                assert!(
                    output.status.success(),
                    "{shell:?}: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
        }
    }
}
