//! How a plan is shown: `+` create, `>` go on, `~` replace, `-` destroy, `=` unchanged, each with its reason. `plan` and
//! `up` show it by the same code.

use std::collections::BTreeMap;
use std::time::Duration;

use encamp::events::Status;
use encamp::plan::{Action, Plan, Reason, Step};
use encamp::{Change, Moved, Preview, Prospect, Shared, Usual};

use crate::board::brief;
use crate::{clean, moment, words};

/// So many members of a group that are described alike are shown in one line.
const FOLDED: usize = 4;
/// Cells before what is said of a machine: its name, its instance.
const HEAD: usize = 2;
/// So many names are listed in one line.
const LISTED: usize = 12;

/// `shop   new, 4 machines, ttl 2h (until 16:32)`, or what changes.
pub(crate) fn headline(preview: &Preview, ttl: Duration) -> String {
    let plan = &preview.plan;
    let what = if preview.is_new {
        let machines = words::count(plan.steps.len(), "machine");
        let (ttl, ends) = (moment::lasting(ttl), moment::clock(preview.ends));
        format!("new, {machines}, ttl {ttl} (until {ends})")
    } else {
        changes(plan)
    };
    format!("{}   {what}", preview.environment)
}

/// `2 unchanged, 1 to replace`.
pub(crate) fn changes(plan: &Plan) -> String {
    let parts = [
        (Action::Keep, "unchanged"),
        (Action::Create, "to create"),
        (Action::Continue, "to go on with"),
        (Action::Replace, "to replace"),
        (Action::Destroy, "to destroy"),
    ];
    let parts = parts.map(|(action, what)| (plan.count(action), what));
    parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A line for each machine that changes, for what machines share, and one for all that stay.
pub(crate) fn lines(preview: &Preview) -> Vec<String> {
    let rows = preview.plan.steps.iter().filter(|step| step.action != Action::Keep);
    let mut rows = folded(rows.map(|step| row(step, preview.prospects.get(&step.machine))));
    rows.extend(preview.shared.iter().map(shared));
    let mut lines: Vec<String> = aligned(&rows).iter().map(|line| format!("  {line}")).collect();
    let kept: Vec<&str> = preview
        .plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Keep && step.reason != Reason::Stopped)
        .map(|step| step.machine.as_str())
        .collect();
    let stopped = preview.plan.steps.iter().filter(|step| step.reason == Reason::Stopped);
    let stopped: Vec<&str> = stopped.map(|step| step.machine.as_str()).collect();
    if !kept.is_empty() {
        lines.push(format!("  = {}", listed(&kept)));
    }
    if !stopped.is_empty() {
        lines.push(format!("  = {}   stopped on purpose, and left so", listed(&stopped)));
    }
    lines
}

/// A line for each name that means something else than when the machines that stay were made; `of` is what a command
/// needs to find the environment.
pub(crate) fn notes(preview: &Preview, of: &str) -> Vec<String> {
    preview.moved.iter().map(|moved| note(moved, of)).collect()
}

fn note(moved: &Moved, of: &str) -> String {
    let machines: Vec<&str> = moved.machines.iter().map(String::as_str).collect();
    format!(
        "note: {}   {} has moved since (kept; `encamp down {}{of}`, then up, takes what it is now)",
        listed(&machines),
        clean::line(&moved.what),
        machines.join(" "),
    )
}

/// `about 21s (median of the last 5)`.
pub(crate) fn usual(preview: &Preview) -> Option<String> {
    let Usual { millis, of, .. } = preview.usual?;
    Some(format!(
        "about {} (median of the last {of})",
        moment::took_millis(millis)
    ))
}

/// What it costs an hour, by currency.
pub(crate) fn cost(preview: &Preview) -> Option<String> {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for cost in preview
        .prospects
        .values()
        .filter_map(|prospect| prospect.cost_per_hour.as_ref())
    {
        *sums.entry(&cost.currency).or_default() += cost.amount;
    }
    if preview.prospects.is_empty() {
        return None;
    }
    let sums: Vec<String> = sums
        .iter()
        .map(|(currency, sum)| format!("{sum:.2} {currency}"))
        .collect();
    Some(if sums.is_empty() {
        "cost: none".into()
    } else {
        format!("cost: {} an hour", sums.join(" and "))
    })
}

fn row(step: &Step, prospect: Option<&Prospect>) -> (Vec<String>, Option<String>) {
    let (sign, word) = match step.action {
        Action::Create => ("+", None),
        Action::Continue => (">", Some("go on")),
        Action::Replace => ("~", Some("replace")),
        Action::Destroy => ("-", Some("destroy")),
        Action::Keep => ("=", None),
    };
    let mut cells = vec![format!("{sign} {}", step.machine), step.instance.to_string()];
    cells.extend(word.map(str::to_owned));
    match (step.action, prospect) {
        (Action::Create, Some(prospect)) => cells.extend(summary(prospect)),
        (_, prospect) => cells.push(reason(&step.reason, prospect.map_or(&[], |prospect| &prospect.changes))),
    }
    let group = prospect.and_then(|prospect| prospect.group.as_ref());
    (cells, group.map(ToString::to_string))
}

/// `db, cache`, `w-0, w-1, … and 988 more`.
fn listed(names: &[&str]) -> String {
    let more = match names.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", names[..names.len().min(LISTED)].join(", "))
}

/// Names and instances stand below each other; so does what follows them, for what comes and for what changes apart.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let heads: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().take(HEAD).cloned().collect())
        .collect();
    let width = |column: usize| {
        heads
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let (names, instances) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
    let comes = |row: &[String]| row.first().is_some_and(|cell| cell.starts_with('+'));
    let mut lines = vec![String::new(); rows.len()];
    for coming in [true, false] {
        let of_class: Vec<usize> = (0..rows.len()).filter(|at| comes(&rows[*at]) == coming).collect();
        let tails: Vec<Vec<String>> = of_class
            .iter()
            .map(|at| rows[*at].iter().skip(HEAD).cloned().collect())
            .collect();
        for (at, tail) in of_class.into_iter().zip(words::table(&tails)) {
            let [name, instance] = heads[at].as_slice() else {
                continue;
            };
            let line = format!("{name:<names$}   {instance:<instances$}   {tail}");
            line.trim_end().clone_into(&mut lines[at]);
        }
    }
    lines
}

/// What the kind says, and what the machine waits for.
fn summary(prospect: &Prospect) -> Vec<String> {
    let mut cells: Vec<String> = prospect.summary.iter().map(|(_, value)| clean::line(value)).collect();
    if !prospect.after.is_empty() {
        let after: Vec<&str> = prospect.after.iter().map(encamp::Name::as_str).collect();
        cells.push(format!("after {}", listed(&after)));
    }
    cells
}

/// Members of a group that follow each other and differ in their names alone stand in one line.
fn folded(rows: impl Iterator<Item = (Vec<String>, Option<String>)>) -> Vec<Vec<String>> {
    let mut runs: Vec<(Vec<Vec<String>>, Option<String>)> = Vec::new();
    for (row, group) in rows {
        match runs.last_mut() {
            Some((run, of)) if group.is_some() && *of == group && run[0][1..] == row[1..] => run.push(row),
            _ => runs.push((vec![row], group)),
        }
    }
    let fold = |(run, _): (Vec<Vec<String>>, _)| {
        if run.len() < FOLDED {
            return run;
        }
        let last = run[run.len() - 1][0]
            .split_once(' ')
            .map_or("", |(_, name)| name)
            .to_owned();
        let count = run.len();
        run.into_iter()
            .take(1)
            .map(|mut row| {
                row[0] = format!("{} … {last} ({count})", row[0]);
                row
            })
            .collect()
    };
    runs.into_iter().flat_map(fold).collect()
}

/// `+ scope   docker   network`.
fn shared(item: &Shared) -> Vec<String> {
    let name = item.name.strip_prefix(item.instance.as_str()).unwrap_or(&item.name);
    let name = name.trim_start_matches('/');
    let what = match name.strip_prefix("vol-") {
        Some(volume) => format!("volume {volume}"),
        None if name == "net" => "network".into(),
        None => name.to_owned(),
    };
    vec!["+ scope".into(), item.instance.to_string(), clean::line(&what)]
}

/// Why, in a few words; of a description what has changed of it.
fn reason(reason: &Reason, changes: &[Change]) -> String {
    match reason {
        Reason::New | Reason::AsDescribed | Reason::Stopped => String::new(),
        Reason::NotFinished => "an earlier command did not finish it".into(),
        Reason::Changed { place } => {
            let what = if changes.is_empty() {
                "its description has changed".to_owned()
            } else {
                changes.iter().map(change).collect::<Vec<_>>().join(", ")
            };
            let place = place.as_ref().map(|place| format!(" ({})", clean::line(place)));
            format!("{what}{}", place.unwrap_or_default())
        }
        Reason::Rebound => "rebind: values of other machines that it was made with have changed".into(),
        Reason::Moved => "its description names another provider".into(),
        Reason::Failed(failure) => format!("it failed: {}", brief(Status::Failed, failure)),
        Reason::CutOff => "its set-up was cut off, and nobody knows how far it came".into(),
        Reason::Ended => "its process has ended".into(),
        Reason::Vanished => "it is not there any more".into(),
        Reason::NotDescribed => "it is not described any more".into(),
        Reason::Dying => "an earlier command began to destroy it".into(),
    }
}

/// `image shop/web:1.4 -> shop/web:1.5`, `memory added`, `command changed`.
fn change(change: &Change) -> String {
    let (what, from, to) = (&change.what, &change.from, &change.to);
    let text = match (from, to) {
        (Some(from), Some(to)) => format!("{what} {from} -> {to}"),
        (None, Some(to)) => format!("{what} {to}"),
        (Some(_), None) => format!("{what} dropped"),
        (None, None) => format!("{what} changed"),
    };
    clean::short_ids(&clean::line(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize, group: Option<&str>) -> Vec<Vec<String>> {
        let row = |at: usize| {
            let cells = vec![format!("+ web-{at}"), "docker".to_owned()];
            (cells, group.map(str::to_owned))
        };
        folded((0..count).map(row))
    }

    #[test]
    fn members_of_a_group_that_are_alike_are_folded() {
        assert_eq!(rows(5, Some("web")), [["+ web-0 … web-4 (5)", "docker"]]);
        assert_eq!(rows(3, Some("web")).len(), 3);
        assert_eq!(rows(5, None).len(), 5);
    }

    #[test]
    fn a_change_without_details_names_its_place() {
        let place = Some("encamp.toml:14".to_owned());
        let said = reason(&Reason::Changed { place }, &[]);
        assert_eq!(said, "its description has changed (encamp.toml:14)");
    }
}
