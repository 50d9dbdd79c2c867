//! `encamp doctor`: whether everything that encamp stands on holds, each with its mend.

use std::path::Path;

use encamp::{Checked, Error, ErrorKind, InstanceName, Level, Report, Summary};
use serde_json::json;
use tokio::task::JoinHandle;

use super::ls::ending;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, exit_of};
use crate::{clean, moment, output, style, words};

/// One line.
struct Line {
    /// Whether it works; a warning works with a limit.
    level: Option<Level>,
    what: String,
    text: String,
    help: Option<String>,
}

impl Line {
    fn new(level: Option<Level>, what: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            level,
            what: what.into(),
            text: text.into(),
            help: None,
        }
    }

    fn help(mut self, help: Option<impl Into<String>>) -> Self {
        self.help = help.map(Into::into);
        self
    }

    fn word(&self) -> &'static str {
        match self.level {
            None | Some(Level::Note) => "ok",
            Some(Level::Warning) => "warn",
            Some(Level::Error) => "fail",
        }
    }
}

pub(super) async fn doctor(cx: &Context) -> Result<Exit, Failure> {
    let mut lines = vec![version(cx), settings(cx), state(cx)];
    lines.extend(environments(cx).await);
    let checking: Vec<_> = cx.kinds.instances.keys().cloned().map(|name| check(cx, name)).collect();
    let mut failed = None;
    for (name, checking) in checking {
        let checked = checking.await.unwrap_or_else(|panicked| {
            Err(Error::new(ErrorKind::Internal, "the check of the provider ended early").caused_by(panicked))
        });
        match checked {
            Ok(checked) => lines.extend(of_provider(&name, &checked)),
            Err(error) => {
                failed = failed.or_else(|| Some(exit_of(&error)));
                lines.push(of_failure(&name, &error));
            }
        }
    }
    let count = |word: &str| lines.iter().filter(|line| line.word() == word).count();
    let exit = match (count("fail"), failed) {
        (0, _) => Exit::Well,
        (_, Some(exit)) => exit,
        (_, None) => Exit::Provider,
    };
    if cx.json {
        let lines: Vec<encamp::Value> = lines
            .iter()
            .map(|line| json!({ "level": line.word(), "what": line.what, "text": line.text, "help": line.help }))
            .collect();
        output::json(&json!({ "lines": lines, "exit": exit.code() }));
        return Ok(exit);
    }
    let width = lines.iter().map(|line| line.what.chars().count()).max().unwrap_or(0);
    for line in &lines {
        let word = style::paint(style::of_word(line.word()), &format!("{:<4}", line.word()));
        let text = clean::short_ids(&clean::line(&line.text));
        output::result(&format!("{word}   {:<width$}   {text}", line.what));
        if let Some(help) = &line.help {
            output::result(&format!("       help:  {}", clean::line(help)));
        }
    }
    output::result(&format!(
        "{} ok, {}, {}",
        count("ok"),
        words::count(count("warn"), "warning"),
        words::count(count("fail"), "failure")
    ));
    Ok(exit)
}

/// Begins a check, so that all go on at once.
fn check(cx: &Context, name: InstanceName) -> (String, JoinHandle<Result<Checked, Error>>) {
    let encamp = cx.encamp.clone();
    (name.to_string(), tokio::spawn(async move { encamp.check(&name).await }))
}

fn version(cx: &Context) -> Line {
    let kinds: Vec<String> = cx
        .kinds
        .kinds
        .values()
        .map(|kind| format!("{} {}", kind.info().name, kind.info().version))
        .collect();
    let text = format!("{}; kinds: {}", env!("CARGO_PKG_VERSION"), kinds.join(", "));
    Line::new(None, "encamp", text)
}

fn settings(cx: &Context) -> Line {
    let text = match cx.settings.origins.as_slice() {
        [] => "as built in: no file and no variable says anything".to_owned(),
        origins => origins.join(", "),
    };
    Line::new(None, "settings", text)
}

fn state(cx: &Context) -> Line {
    let folder = cx.encamp.state_dir();
    let text = format!("{}, controller {}", folder.display(), cx.encamp.controller());
    match free(folder) {
        Some(left) if left < LITTLE => Line::new(
            Some(Level::Warning),
            "state",
            format!("{text}; {} are left on its disk", words::bytes(left)),
        )
        .help(Some(
            "make room: nothing is sent to a provider that is not recorded first",
        )),
        _ => Line::new(None, "state", text),
    }
}

/// So little room may not last.
const LITTLE: u64 = 100_000_000;

fn free(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

/// What there is, and what is due.
async fn environments(cx: &Context) -> Vec<Line> {
    let all = match cx.encamp.environments().await {
        Ok(all) => all,
        Err(error) => return vec![of_failure("store", &error)],
    };
    let due: Vec<&str> = all
        .iter()
        .filter(|summary| summary.state == "overdue")
        .map(|summary| summary.name.as_str())
        .collect();
    let mut lines = vec![Line::new(None, "store", words::count(all.len(), "environment"))];
    lines.extend(all.iter().map(|summary| keeper(cx, summary)));
    if !due.is_empty() {
        let text = format!("overdue: {}", words::list(&due));
        lines.push(Line::new(Some(Level::Warning), "due", text).help(Some("encamp gc")));
    }
    lines
}

/// Who keeps an environment, and where it writes.
fn keeper(cx: &Context, summary: &Summary) -> Line {
    let log = summary.keeper_log.as_deref().filter(|log| log.exists());
    let log = log.map(|log| format!(", {}", log.display())).unwrap_or_default();
    let name = clean::line(&summary.name);
    match summary.keeper {
        Some(pid) => Line::new(None, "keeper", format!("{name}: process {pid}{log}")),
        None => Line::new(None, "keeper", format!("{name}: none; {}{log}", ending(cx, summary))),
    }
}

fn of_provider(name: &str, checked: &Checked) -> Vec<Line> {
    let took = moment::took_millis(checked.millis);
    let mut lines = vec![Line::new(None, name, format!("answers in {took} ({})", checked.site))];
    lines.extend(
        checked
            .findings
            .iter()
            .map(|finding| Line::new(Some(finding.level), name, finding.message.clone()).help(finding.help.clone())),
    );
    lines
}

fn of_failure(name: &str, error: &Error) -> Line {
    Line::new(Some(Level::Error), name, Report(error).to_string()).help(error.hint())
}
