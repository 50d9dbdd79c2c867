//! Where the time of a run went: from its events, as one line and as a page.

use std::fmt::Write;
use std::time::Duration;

use encamp::events::{Event, Status};
use encamp::report::Outcome;
use tokio::time::Instant;

use crate::board::label;
use crate::{clean, moment};

/// How many are named as the slowest.
const SLOWEST: usize = 3;
/// What takes less is not worth a word.
const NOTHING: Duration = Duration::from_millis(50);

/// What a stretch of time was spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// An image was pulled or built.
    Prepare,
    Machine(Status),
    Task(Outcome),
    Down,
}

impl What {
    /// The class of its bar.
    fn class(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Machine(Status::Waiting) => "waiting",
            Self::Machine(Status::Failed) | Self::Task(Outcome::Failed) => "failed",
            Self::Machine(_) => "making",
            Self::Task(Outcome::Passed) => "passed",
            Self::Task(Outcome::Skipped | Outcome::Interrupted) => "skipped",
            Self::Down => "down",
        }
    }
}

#[derive(Debug, Clone)]
struct Span {
    lane: String,
    text: String,
    /// A task's own name, without its stage.
    name: Option<String>,
    what: What,
    from: Duration,
    to: Duration,
}

impl Span {
    fn took(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

/// What is known of a machine that is on its way.
#[derive(Debug)]
struct Open {
    machine: String,
    text: String,
    what: What,
    from: Duration,
}

/// The stretches of one run.
#[derive(Debug)]
pub(crate) struct Timeline {
    began: Instant,
    open: Vec<Open>,
    spans: Vec<Span>,
    disposing: Option<Duration>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            began: moment::instant(),
            open: Vec::new(),
            spans: Vec::new(),
            disposing: None,
        }
    }
}

impl Timeline {
    /// Takes an event in as it happens.
    pub(crate) fn take(&mut self, event: &Event) {
        self.take_at(event, self.began.elapsed());
    }

    fn take_at(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Progress { machine, progress } => {
                let text = format!("{} {machine}", progress.step);
                if !self
                    .open
                    .iter()
                    .any(|open| open.machine == *machine && open.text == text)
                {
                    self.close(machine, now);
                    self.open(machine, text, What::Prepare, now);
                }
            }
            Event::Machine {
                machine,
                status,
                scope: false,
                ..
            } => {
                self.close(machine, now);
                if matches!(
                    status,
                    Status::Creating | Status::Starting | Status::Setup | Status::Waiting
                ) && self.disposing.is_none()
                {
                    self.open(machine, status.as_str().to_owned(), What::Machine(*status), now);
                }
            }
            Event::TaskFinished(report) if report.outcome != Outcome::Skipped => {
                let took = Duration::from_millis(report.millis);
                self.spans.push(Span {
                    lane: report.machine.clone(),
                    text: label(&report.stage, &report.task),
                    name: Some(report.task.clone()),
                    what: What::Task(report.outcome),
                    from: now.saturating_sub(took),
                    to: now,
                });
            }
            Event::Disposing { .. } => {
                for open in std::mem::take(&mut self.open) {
                    self.end(open, now);
                }
                self.disposing = Some(now);
            }
            Event::Disposed(_) => {
                if let Some(from) = self.disposing {
                    self.spans.push(Span {
                        lane: "down".into(),
                        text: "down".into(),
                        name: None,
                        what: What::Down,
                        from,
                        to: now,
                    });
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, machine: &str, text: String, what: What, from: Duration) {
        self.open.push(Open {
            machine: machine.to_owned(),
            text,
            what,
            from,
        });
    }

    fn close(&mut self, machine: &str, now: Duration) {
        if let Some(at) = self.open.iter().position(|open| open.machine == machine) {
            let open = self.open.remove(at);
            self.end(open, now);
        }
    }

    fn end(&mut self, open: Open, to: Duration) {
        self.spans.push(Span {
            lane: open.machine,
            text: open.text,
            name: None,
            what: open.what,
            from: open.from,
            to,
        });
    }

    /// `build web 8.9s, contract 4.2s, db 2.1s`: what took longest, machines without their images. The way down is no
    /// answer to what could be faster.
    pub(crate) fn slowest(&self) -> Option<String> {
        let mut all: Vec<(String, Duration)> = Vec::new();
        for span in self.spans.iter().filter(|span| span.what != What::Down) {
            let name = match span.what {
                What::Machine(_) => &span.lane,
                _ => span.name.as_ref().unwrap_or(&span.text),
            };
            match all.iter_mut().find(|(known, _)| known == name) {
                // Its steps follow each other; a task on several machines takes as long as the slowest.
                Some((_, took)) if matches!(span.what, What::Machine(_)) => *took += span.took(),
                Some((_, took)) => *took = (*took).max(span.took()),
                None => all.push((name.clone(), span.took())),
            }
        }
        all.retain(|(_, took)| *took >= NOTHING);
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let named: Vec<String> = all
            .iter()
            .take(SLOWEST)
            .map(|(name, took)| format!("{} {}", clean::line(name), moment::took(*took)))
            .collect();
        (!named.is_empty()).then(|| named.join(", "))
    }

    /// A page that needs nothing else: no script, no font, no picture from anywhere, and every text escaped.
    pub(crate) fn page(&self, title: &str) -> String {
        let end = self.spans.iter().map(|span| span.to).max().unwrap_or_default();
        let mut lanes: Vec<&str> = Vec::new();
        for span in &self.spans {
            if !lanes.contains(&span.lane.as_str()) {
                lanes.push(&span.lane);
            }
        }
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style></head>\n\
             <body><h1>{title}</h1>\n<p>{} in all</p>\n<table>\n",
            moment::took(end),
            title = escape(title),
        );
        for lane in lanes {
            // Writing to a text does not fail.
            let _ = write!(page, "<tr><th>{}</th><td><div class=\"lane\">", escape(lane));
            for span in self.spans.iter().filter(|span| span.lane == lane) {
                let _ = write!(
                    page,
                    "<span class=\"{}\" style=\"left:{}%;width:{}%\" title=\"{text} {took}\">{text}</span>",
                    span.what.class(),
                    percent(span.from, end),
                    percent(span.took(), end),
                    text = escape(&span.text),
                    took = moment::took(span.took()),
                );
            }
            page.push_str("</div></td></tr>\n");
        }
        page.push_str(
            "</table>\n<table class=\"list\">\n<tr><th>began</th><th>took</th><th>where</th><th>what</th></tr>\n",
        );
        let mut spans: Vec<&Span> = self.spans.iter().collect();
        spans.sort_by_key(|span| span.from);
        for span in spans {
            let _ = writeln!(
                page,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                moment::took(span.from),
                moment::took(span.took()),
                escape(&span.lane),
                escape(&span.text)
            );
        }
        page.push_str("</table></body></html>\n");
        page
    }
}

const STYLE: &str = "
:root{color-scheme:light dark;font:14px/1.4 system-ui,sans-serif}
body{margin:2em auto;max-width:70em;padding:0 1em}
table{border-collapse:collapse;width:100%;margin-bottom:2em}
th{text-align:left;font-weight:600;padding:.2em 1em .2em 0;white-space:nowrap;width:1%}
.lane{position:relative;height:1.7em;background:#8882}
.lane span{position:absolute;top:0;bottom:0;min-width:2px;overflow:hidden;white-space:nowrap;font-size:12px;line-height:2;\
padding:0 .2em;box-sizing:border-box;color:#000}
.prepare{background:#c9b6f2}.making{background:#9fc5f8}.waiting{background:#ffe599}.passed{background:#a8d5a2}
.failed{background:#f4a6a0}.skipped,.down{background:#c8c8c8}
.list td,.list th{border-top:1px solid #8884;padding:.2em 1em .2em 0;width:auto}
";

/// With two digits after the point.
fn percent(part: Duration, whole: Duration) -> String {
    let whole = whole.as_micros().max(1);
    let hundredths = part.as_micros().min(whole) * 10_000 / whole;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use encamp::{InstanceName, Progress};

    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn machine(name: &str, status: Status) -> Event {
        Event::Machine {
            machine: name.into(),
            instance: InstanceName::new("docker").unwrap(),
            status,
            detail: String::new(),
            millis: 0,
            scope: false,
        }
    }

    fn told() -> Timeline {
        let mut timeline = Timeline::default();
        let build = Event::Progress {
            machine: "web".into(),
            progress: Progress::note("build", "<script>alert(1)</script>"),
        };
        for (event, millis) in [
            (build.clone(), 0),
            (build, 4000),
            (machine("db", Status::Creating), 10),
            (machine("db", Status::Waiting), 500),
            (machine("db", Status::Ready), 2110),
            (machine("web", Status::Creating), 8900),
            (machine("web", Status::Ready), 9000),
        ] {
            timeline.take_at(&event, at(millis));
        }
        timeline
    }

    #[test]
    fn the_slowest_are_named_with_their_own_time() {
        assert_eq!(told().slowest().unwrap(), "build web 8.9s, db 2.1s, web 0.1s");
        assert_eq!(Timeline::default().slowest(), None);
    }

    #[test]
    fn a_page_needs_nothing_from_anywhere_and_escapes_what_it_shows() {
        let mut timeline = told();
        timeline.open("x", "<img src=x onerror='a'>\"&".into(), What::Prepare, at(0));
        timeline.close("x", at(10));
        let page = timeline.page("shop <b>");
        for never in ["<script", "<img", "<link", "http:", "https:", "//", "<b>", "url("] {
            assert!(!page.contains(never), "{never}: {page}");
        }
        assert!(
            page.contains("&lt;img src=x onerror=&#39;a&#39;&gt;&quot;&amp;"),
            "{page}"
        );
        assert!(page.contains("left:0.00%;width:98.88%"), "{page}");
    }
}
