//! What is shown while something happens: live lines on a terminal, whole lines elsewhere, or JSON.

mod lines;
mod live;

use encamp::events::{Event, Status};
use encamp::plan::{Action, Plan};
use encamp::report::{Disposal, TaskReport};
use encamp::{Survival, Time, events};
use serde_json::json;

use self::live::Screen;
use crate::board::{Board, label};
use crate::timeline::Timeline;
use crate::{moment, outlook, output, style, words};

/// Which command it is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Run,
    Up,
    /// Notes alone.
    Plan,
    /// `down` and `gc` say themselves what a disposal came to.
    Down,
}

/// How it is shown.
#[derive(Debug)]
enum Form {
    Live(Screen),
    Lines,
    Json,
    /// Nothing but the end, which the command tells.
    Silent,
}

/// Shows what happens.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) board: Board,
    pub(crate) timeline: Timeline,
    of: Of,
    form: Form,
    /// The lease, for the header.
    ttl: Option<std::time::Duration>,
    /// The command has shown the plan already.
    planned: bool,
}

impl Shown {
    /// In the form that suits: `live` where a terminal can move its cursor.
    pub(crate) fn new(of: Of, json: bool, live: bool) -> Self {
        let form = match (json, of) {
            (true, Of::Down | Of::Plan) => Form::Silent,
            (true, _) => Form::Json,
            (false, Of::Plan) => Form::Lines,
            (false, _) if live => Form::Live(Screen::default()),
            (false, _) => Form::Lines,
        };
        Self {
            board: Board::default(),
            timeline: Timeline::default(),
            of,
            form,
            ttl: None,
            planned: false,
        }
    }

    /// Says how long the lease is.
    pub(crate) fn ttl(&mut self, ttl: std::time::Duration) {
        self.ttl = Some(ttl);
    }

    /// Says that the plan has been shown.
    pub(crate) fn plan_is_shown(&mut self) {
        self.planned = true;
    }

    /// Takes an event in and shows it.
    pub(crate) fn tell(&mut self, event: &Event) {
        let frozen = match event {
            Event::Ready { .. } => true,
            Event::Disposing { .. } => self.of != Of::Down,
            _ => false,
        };
        if frozen {
            self.freeze();
        }
        self.board.take(event);
        self.timeline.take(event);
        match self.form {
            Form::Silent => {}
            Form::Json => output::said(&output::escaped(&json_line(event))),
            Form::Lines => {
                let headline = |plan: &Plan, ends| (!self.planned).then(|| headline(plan, self.ttl, ends));
                let put = match event {
                    Event::TaskOutput { .. } => output::tell_said,
                    _ => output::tell,
                };
                for line in lines::of(event, self.of, headline) {
                    put(&line);
                }
            }
            Form::Live(_) => {
                let lines = self.lasting(event);
                self.draw(&lines);
            }
        }
    }

    /// Shows that time passes.
    pub(crate) fn tick(&mut self) {
        if matches!(self.form, Form::Live(_)) {
            self.draw(&[]);
        }
    }

    /// Says a line between all others.
    pub(crate) fn say(&mut self, line: &str) {
        match self.form {
            Form::Live(_) => self.draw(&[output::own(line)]),
            Form::Json => output::json(&json!({ "event": "note", "text": line })),
            Form::Lines => output::tell(&format!("{} {line}", moment::stamp())),
            Form::Silent => output::tell(line),
        }
    }

    /// Leaves the screen to somebody else for a while.
    pub(crate) fn leave(&mut self) {
        if let Form::Live(screen) = &mut self.form {
            screen.draw(&[], &[]);
        }
    }

    /// Nothing more comes: what stands of machines stays on the screen, save where they went.
    pub(crate) fn finish(&mut self) {
        if self.of == Of::Down {
            self.board.rows.clear();
        }
        self.freeze();
        self.board.running.clear();
        self.board.disposing = None;
        self.tick();
    }

    /// Lets the machines' lines scroll away, as they are.
    fn freeze(&mut self) {
        if let Form::Live(screen) = &mut self.form {
            screen.freeze(&live::machines(&self.board));
        }
    }

    /// What of an event stays on the screen above the live lines.
    fn lasting(&mut self, event: &Event) -> Vec<String> {
        let width = live::label_width(&self.board);
        match event {
            Event::Planned {
                environment,
                plan,
                ends,
                survival,
            } => {
                if let Form::Live(screen) = &mut self.form {
                    screen.thaw();
                }
                if self.planned {
                    Vec::new()
                } else {
                    let headline = headline(plan, self.ttl, *ends);
                    vec![format!("{environment}   {headline}{}", kept(survival))]
                }
            }
            Event::TaskOutput { machine, line, .. } => vec![said(machine, line)],
            Event::TaskFinished(report) => vec![live::task(report, width)],
            Event::Disposed(disposal) if self.of == Of::Run => vec![live::down(disposal, width)],
            Event::Note { text } => vec![output::own(&format!("  {}", crate::clean::line(text)))],
            _ => Vec::new(),
        }
    }

    fn draw(&mut self, lines: &[String]) {
        let Form::Live(screen) = &mut self.form else { return };
        screen.draw(lines, &live::block(&self.board, self.of, screen.is_frozen()));
    }
}

/// An event as a line of JSON. `v` and `event` come first.
fn json_line(event: &Event) -> String {
    let text = serde_json::to_string(event)
        .unwrap_or_else(|error| json!({ "event": "note", "text": error.to_string() }).to_string());
    format!(
        "{{\"v\":1,\"at\":\"{}\",{}",
        moment::now(),
        text.trim_start_matches('{')
    )
}

/// `  client | hello`.
fn said(machine: &str, line: &str) -> String {
    format!(
        "  {} {}",
        style::paint(style::PALE, &format!("{machine} |")),
        crate::clean::line(line)
    )
}

/// `4 machines, ttl 2h (until 16:32)`, or what changes.
pub(crate) fn headline(plan: &Plan, ttl: Option<std::time::Duration>, ends: Time) -> String {
    let new = plan.count(Action::Create);
    if new == plan.steps.len() {
        let ttl = ttl
            .map(|ttl| format!(", ttl {}", moment::lasting(ttl)))
            .unwrap_or_default();
        return format!("{}{ttl} (until {})", words::count(new, "machine"), moment::clock(ends));
    }
    outlook::changes(plan)
}

/// Who ends the environment if this command cannot.
pub(crate) fn kept(survival: &Survival) -> String {
    match survival {
        Survival::Keeper { pid, apart: true } => format!(" · keeper {pid}"),
        Survival::Keeper { pid, apart: false } => {
            format!(" · keeper {pid}, unless its whole control group is killed")
        }
        Survival::NextCommand { why } => {
            let why = match why.as_str() {
                "" => String::new(),
                why => format!(" ({})", crate::clean::line(why)),
            };
            format!(" · no keeper{why}: if encamp is killed, its next command ends this")
        }
        // The engine may come to know more.
        _ => String::new(),
    }
}

/// What a disposal achieved, in a few words.
pub(crate) fn remains(disposal: &Disposal) -> String {
    if disposal.is_clean() {
        return "nothing left".into();
    }
    let left: Vec<&str> = disposal.left.iter().map(|left| left.object.as_str()).collect();
    format!("LEFT: {}", words::list(&left))
}

/// What there is to say of a finished task: tests, attempts, why.
fn about_task(report: &TaskReport) -> String {
    let mut parts = Vec::new();
    let tests = report.tests;
    if tests.total > 0 {
        if tests.failed == 0 && tests.skipped == 0 {
            parts.push(words::count(tests.total, "test"));
        } else {
            parts.push(format!(
                "{} passed",
                tests.total.saturating_sub(tests.failed + tests.skipped)
            ));
            parts.extend((tests.failed > 0).then(|| format!("{} failed", tests.failed)));
            parts.extend((tests.skipped > 0).then(|| format!("{} skipped", tests.skipped)));
        }
    }
    parts.extend((report.attempts > 1).then(|| format!("attempt {}", report.attempts)));
    parts.extend(report.allowed.then(|| "may fail".to_owned()));
    parts.join(", ")
}

/// The name of a task in a line.
fn task_label(report: &TaskReport) -> String {
    label(&report.stage, &report.task)
}

/// Whether an event of a machine is worth a line where nothing is redrawn.
fn is_told(status: Status, scope: bool) -> bool {
    !scope || status == events::Status::Failed
}
