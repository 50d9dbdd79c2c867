//! Live lines on a terminal: one for each machine and task, redrawn in place; what has ended scrolls away above.

use encamp::report::{Disposal, TaskReport};

use super::{Of, about_task, remains, task_label};
use crate::board::{Board, Row};
use crate::{moment, output, style, terminal};

/// Wide enough for `destroying`.
const STATUS: usize = 10;
/// Wide enough for `59m 59s`.
const TIME: usize = 8;

/// The lines that are drawn now, below everything that stays.
#[derive(Debug, Default)]
pub(super) struct Screen {
    drawn: usize,
    frozen: bool,
}

impl Screen {
    /// Draws lines that stay, and the live ones below them.
    pub(super) fn draw(&mut self, lasting: &[String], block: &[String]) {
        let (height, width) =
            terminal::size_of_stderr().map_or((24, 80), |size| (usize::from(size.rows), usize::from(size.cols)));
        let room = height.saturating_sub(2).max(1);
        let hidden = block.len().saturating_sub(room);
        let mut text = String::new();
        for line in lasting {
            text.push_str(line);
            text.push('\n');
        }
        for line in &block[hidden..] {
            text.push_str(&cut(line, width));
            text.push('\n');
        }
        let moves = if self.drawn == 0 {
            String::new()
        } else {
            format!("\u{1b}[{}A\r\u{1b}[J", self.drawn)
        };
        output::frame(&moves, &text);
        self.drawn = block.len() - hidden;
    }

    /// Lets lines stay, once.
    pub(super) fn freeze(&mut self, lines: &[String]) {
        if !self.frozen {
            self.draw(lines, &[]);
            self.frozen = true;
        }
    }

    /// New machines come.
    pub(super) fn thaw(&mut self) {
        self.frozen = false;
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen
    }
}

/// The live lines.
pub(super) fn block(board: &Board, of: Of, frozen: bool) -> Vec<String> {
    let width = label_width(board);
    let mut lines = Vec::new();
    if !frozen {
        lines.extend(machines(board));
    }
    lines.extend(board.running.iter().map(|running| {
        let attempt = if running.attempt > 1 {
            format!("   attempt {}", running.attempt)
        } else {
            String::new()
        };
        line(
            &running.label,
            width,
            ("running", style::PALE),
            Some(running.began.elapsed()),
            &format!("{}{attempt}", running.machine),
        )
    }));
    if let Some(since) = board.disposing
        && of == Of::Run
    {
        let busy = style::of_status(encamp::events::Status::Destroying);
        lines.push(line(
            "down",
            width,
            ("destroying", busy),
            Some(since.elapsed()),
            &board.existing().join(", "),
        ));
    }
    lines
}

/// A line for each machine.
pub(super) fn machines(board: &Board) -> Vec<String> {
    let (names, instances) = board.widths();
    board.rows.iter().map(|row| machine(row, names, instances)).collect()
}

fn machine(row: &Row, names: usize, instances: usize) -> String {
    let label = format!("{:<names$}   {:<instances$}", row.name, row.instance);
    let width = names + 3 + instances;
    match row.status {
        Some(status) => line(
            &label,
            width,
            (status.as_str(), style::of_status(status)),
            row.took(),
            &row.detail,
        ),
        None => line(&label, width, ("", style::PALE), None, &row.detail),
    }
}

/// `  test · smoke   passed   0.2s   app   2 tests`.
pub(super) fn task(report: &TaskReport, width: usize) -> String {
    let (word, colour) = style::of_outcome(report.outcome);
    let took = std::time::Duration::from_millis(report.millis);
    let about = about_task(report);
    line(
        &task_label(report),
        width,
        (word, colour),
        Some(took),
        format!("{}   {about}", report.machine).trim_end(),
    )
}

/// `  down   gone   0.1s   nothing left`.
pub(super) fn down(disposal: &Disposal, width: usize) -> String {
    let status = if disposal.is_clean() {
        encamp::events::Status::Gone
    } else {
        encamp::events::Status::Failed
    };
    let took = std::time::Duration::from_millis(disposal.millis);
    line(
        "down",
        width,
        (status.as_str(), style::of_status(status)),
        Some(took),
        &remains(disposal),
    )
}

/// How wide what stands before the status is.
pub(super) fn label_width(board: &Board) -> usize {
    let (names, instances) = board.widths();
    let running = board
        .running
        .iter()
        .map(|running| running.label.chars().count())
        .max()
        .unwrap_or(0);
    (names + 3 + instances).max(running)
}

fn line(
    label: &str,
    width: usize,
    (word, colour): (&str, anstyle::Style),
    took: Option<std::time::Duration>,
    rest: &str,
) -> String {
    let status = format!("{word:<STATUS$}");
    let status = if word.is_empty() {
        status
    } else {
        style::paint(colour, &status)
    };
    let took = took.map(moment::took).unwrap_or_default();
    format!("  {label:<width$}   {status}{took:>TIME$}   {rest}")
        .trim_end()
        .to_owned()
}

/// The beginning of a line that fits; colours take no room.
fn cut(line: &str, width: usize) -> String {
    let mut kept = String::new();
    let mut shown = 0;
    let mut in_sequence = false;
    for c in line.chars() {
        match c {
            '\u{1b}' => in_sequence = true,
            'm' if in_sequence => {
                in_sequence = false;
                kept.push(c);
                continue;
            }
            _ if !in_sequence => shown += 1,
            _ => {}
        }
        if in_sequence || shown < width {
            kept.push(c);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_line_keeps_its_colours() {
        assert_eq!(cut("\u{1b}[31mabcdef\u{1b}[0m", 4), "\u{1b}[31mabc\u{1b}[0m");
        assert_eq!(cut("abc", 80), "abc");
    }
}
