//! What is known of machines and tasks while something happens, from events alone.

use std::collections::BTreeMap;
use std::time::Duration;

use encamp::events::{Event, Status};
use encamp::{Progress, Time};
use tokio::time::Instant;

use crate::{clean, moment};

/// One machine.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) instance: String,
    /// None before its turn has come.
    pub(crate) status: Option<Status>,
    pub(crate) detail: String,
    /// Work on it began then.
    began: Instant,
    /// How long that took, once it has ended.
    took: Option<Duration>,
}

impl Row {
    fn new(name: &str, instance: &str) -> Self {
        let (name, instance) = (name.to_owned(), instance.to_owned());
        Self {
            name,
            instance,
            status: None,
            detail: String::new(),
            began: moment::instant(),
            took: None,
        }
    }

    /// How long work on it has taken.
    pub(crate) fn took(&self) -> Option<Duration> {
        self.status?;
        Some(self.took.unwrap_or_else(|| self.began.elapsed()))
    }
}

/// A task that runs.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) label: String,
    pub(crate) machine: String,
    pub(crate) attempt: u32,
    pub(crate) began: Instant,
}

/// Everything that is shown while something happens.
#[derive(Debug, Default)]
pub(crate) struct Board {
    pub(crate) rows: Vec<Row>,
    /// Networks, volumes and their like, by name.
    items: BTreeMap<String, Status>,
    pub(crate) running: Vec<Running>,
    /// Since when the environment is being taken down.
    pub(crate) disposing: Option<Instant>,
    /// When the lease ends.
    pub(crate) ends: Option<Time>,
}

impl Board {
    /// Takes an event in.
    pub(crate) fn take(&mut self, event: &Event) {
        match event {
            Event::Planned { plan, ends, .. } => {
                self.ends = Some(*ends);
                self.rows = plan
                    .steps
                    .iter()
                    .map(|step| Row::new(&step.machine, step.instance.as_str()))
                    .collect();
            }
            Event::Machine {
                machine,
                status,
                scope: true,
                ..
            } => drop(self.items.insert(machine.clone(), *status)),
            Event::Machine {
                machine,
                instance,
                status,
                detail,
                millis,
                ..
            } => {
                let row = self.row(machine, instance.as_str());
                row.status = Some(*status);
                row.detail = brief(*status, detail);
                let took = Duration::from_millis(*millis);
                row.began = moment::instant().checked_sub(took).unwrap_or_else(moment::instant);
                row.took = matches!(status, Status::Ready | Status::Failed | Status::Gone).then_some(took);
            }
            Event::Progress { machine, progress } => {
                if let Some(row) = self.rows.iter_mut().find(|row| row.name == *machine) {
                    row.detail = how_far(progress);
                }
            }
            Event::TaskStarted {
                stage,
                task,
                machine,
                attempt,
            } => {
                let (label, machine) = (label(stage, task), machine.clone());
                self.running
                    .retain(|running| (&running.label, &running.machine) != (&label, &machine));
                self.running.push(Running {
                    label,
                    machine,
                    attempt: *attempt,
                    began: moment::instant(),
                });
            }
            Event::TaskFinished(report) => {
                let label = label(&report.stage, &report.task);
                self.running
                    .retain(|running| (&running.label, &running.machine) != (&label, &report.machine));
            }
            Event::Disposing { .. } => self.disposing = Some(moment::instant()),
            Event::Disposed(_) => self.disposing = None,
            _ => {}
        }
    }

    fn row(&mut self, name: &str, instance: &str) -> &mut Row {
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row::new(name, instance));
            self.rows.len() - 1
        });
        let row = &mut self.rows[at];
        instance.clone_into(&mut row.instance);
        row
    }

    /// What exists, or may: each with its status.
    pub(crate) fn existing(&self) -> Vec<String> {
        let machines = self.rows.iter().filter_map(|row| Some((&row.name, row.status?)));
        let items = self.items.iter().map(|(name, status)| (name, *status));
        let there = machines.chain(items).filter(|(_, status)| *status != Status::Gone);
        there
            .map(|(name, status)| format!("{name} ({})", status.as_str()))
            .collect()
    }

    /// Whether work on a machine has begun that may have made it.
    pub(crate) fn may_exist(&self, machine: &str) -> bool {
        let status = self
            .rows
            .iter()
            .find(|row| row.name == machine)
            .and_then(|row| row.status);
        status.is_some_and(|status| !matches!(status, Status::Failed | Status::Gone))
    }

    /// How wide the names and the instances of machines are.
    pub(crate) fn widths(&self) -> (usize, usize) {
        let width = |text: fn(&Row) -> &str| self.rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0);
        (width(|row| &row.name), width(|row| &row.instance))
    }
}

/// `test · contract`.
pub(crate) fn label(stage: &str, task: &str) -> String {
    format!("{stage} · {task}")
}

/// What stands beside a status in one line; a failure is told in full at the end.
pub(crate) fn brief(status: Status, detail: &str) -> String {
    const SHOWN: usize = 80;
    let detail = clean::short_ids(&clean::line(detail));
    if status != Status::Failed || detail.chars().count() <= SHOWN {
        return detail;
    }
    let cut: String = detail.chars().take(SHOWN).collect();
    format!("{}…", cut.trim_end())
}

/// `pull 3.1 of 12.0 MB`, or what the carrier says.
fn how_far(progress: &Progress) -> String {
    let figures = match (progress.unit.as_str(), progress.total) {
        (_, None) if progress.done == 0 => String::new(),
        ("bytes", Some(total)) => format!(" {} of {} MB", megabytes(progress.done), megabytes(total)),
        ("bytes", None) => format!(" {} MB", megabytes(progress.done)),
        (unit, Some(total)) => format!(" {} of {total} {unit}", progress.done),
        (unit, None) => format!(" {} {unit}", progress.done),
    };
    let note = progress
        .note
        .as_deref()
        .map(|note| format!(" {note}"))
        .unwrap_or_default();
    clean::line(&format!("{}{figures}{note}", progress.step))
}

fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}
