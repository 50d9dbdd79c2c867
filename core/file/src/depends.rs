//! The order in which machines come up.

use std::collections::{BTreeMap, BTreeSet};

use crate::codes;
use crate::cx::Cx;
use crate::diagnose::Diagnostic;
use crate::machines::{self, Described};
use crate::source::Span;
use crate::spec::Machine;

/// The most pairs of machines of which one waits for the other.
const MAX_PAIRS: usize = 1_000_000;

/// All machines, each after those that it waits for, otherwise as the file has them.
pub(crate) fn order(mut described: Vec<Described>, cx: &mut Cx<'_>) -> Vec<Machine> {
    let edges = edges(&described);
    let Some(order) = sorted(&edges) else {
        let cycle = cycle(&edges);
        report(&cycle, &edges, cx);
        return Vec::new();
    };
    let mut pairs = 0_usize;
    for described in &mut described {
        let after = machines::names(described.awaits.iter().map(|(target, _)| *target), cx);
        pairs = pairs.saturating_add(after.len().saturating_mul(described.machines.len()));
        if pairs > MAX_PAIRS {
            let at = described.awaits.first().map(|(_, at)| *at);
            let message = format!("more than {MAX_PAIRS} times one machine waits for another");
            let help = "wait for one machine that waits for the group".to_owned();
            cx.add(Diagnostic::error(codes::TOO_LARGE, at, message).help(help));
            return Vec::new();
        }
        let mut before = None;
        for machine in &mut described.machines {
            machine.after.clone_from(&after);
            machine.after.extend(before.take());
            before = described.serial.then(|| machine.name.clone());
        }
    }
    let mut parts: Vec<Option<Vec<Machine>>> = described.into_iter().map(|part| Some(part.machines)).collect();
    order.into_iter().filter_map(|at| parts[at].take()).flatten().collect()
}

/// For each declaration, the declarations that it waits for, and where it says so.
type Edges = Vec<BTreeMap<usize, Span>>;

fn edges(described: &[Described]) -> Edges {
    described
        .iter()
        .map(|part| {
            let mut edges = BTreeMap::new();
            for (target, at) in &part.awaits {
                edges.entry(target.decl).or_insert(*at);
            }
            edges
        })
        .collect()
}

/// Takes, again and again, the first that waits for nothing that is left.
fn sorted(edges: &Edges) -> Option<Vec<usize>> {
    let mut waiting: Vec<usize> = edges.iter().map(BTreeMap::len).collect();
    let mut dependents = vec![Vec::new(); edges.len()];
    for (at, awaits) in edges.iter().enumerate() {
        for awaited in awaits.keys() {
            dependents[*awaited].push(at);
        }
    }
    let mut free: BTreeSet<usize> = (0..edges.len()).filter(|at| waiting[*at] == 0).collect();
    let mut order = Vec::with_capacity(edges.len());
    while let Some(at) = free.pop_first() {
        order.push(at);
        for dependent in &dependents[at] {
            waiting[*dependent] -= 1;
            if waiting[*dependent] == 0 {
                free.insert(*dependent);
            }
        }
    }
    (order.len() == edges.len()).then_some(order)
}

/// One cycle: each waits for the next, the last for the first.
fn cycle(edges: &Edges) -> Vec<usize> {
    // What waits for nothing lies on no cycle; without it, every way forward leads into one.
    let mut left: BTreeSet<usize> = (0..edges.len()).collect();
    loop {
        let done: Vec<usize> = left
            .iter()
            .copied()
            .filter(|at| !edges[*at].keys().any(|awaited| left.contains(awaited)))
            .collect();
        if done.is_empty() {
            break;
        }
        for at in done {
            left.remove(&at);
        }
    }
    let mut path: Vec<usize> = Vec::new();
    let mut at = left.first().copied();
    while let Some(current) = at {
        if let Some(start) = path.iter().position(|seen| *seen == current) {
            return path.split_off(start);
        }
        path.push(current);
        at = edges[current].keys().copied().find(|awaited| left.contains(awaited));
    }
    path
}

fn report(cycle: &[usize], edges: &Edges, cx: &mut Cx<'_>) {
    let name = |at: usize| cx.world.decls[at].name.clone();
    let Some(first) = cycle.first().copied() else { return };
    let next = |position: usize| cycle.get(position + 1).copied().unwrap_or(first);
    let mut way = format!("`{}` waits for `{}`", name(first), name(next(0)));
    for (position, _) in cycle.iter().enumerate().skip(1) {
        way += ", which waits for `";
        way += name(next(position)).as_str();
        way.push('`');
    }
    let place = |position: usize| edges[cycle[position]].get(&next(position)).copied();
    let label = |position: usize| format!("`{}` waits for `{}`", name(cycle[position]), name(next(position)));
    let target = name(next(0));
    let help = format!(
        "what is known from the start makes no dependency: the name itself (`{target}:…`), \
         `machines['{target}'].name`, `machines['{target}'].port('…')`"
    );
    let mut diagnostic = Diagnostic::error(codes::CYCLE, place(0), format!("machines wait for each other: {way}"))
        .label(label(0))
        .help(help);
    for position in 1..cycle.len() {
        if let Some(at) = place(position) {
            diagnostic = diagnostic.secondary(at, label(position));
        }
    }
    cx.add(diagnostic);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(pairs: &[(usize, usize)], size: usize) -> Edges {
        let mut edges = vec![BTreeMap::new(); size];
        for (from, to) in pairs {
            edges[*from].insert(*to, Span::new(0, 0..0));
        }
        edges
    }

    #[test]
    fn the_order_is_that_of_the_file_where_nothing_waits() {
        assert_eq!(sorted(&graph(&[(0, 2), (3, 1)], 4)), Some(vec![1, 2, 0, 3]));
        assert_eq!(sorted(&graph(&[], 3)), Some(vec![0, 1, 2]));
    }

    #[test]
    fn a_cycle_is_found_behind_what_leads_to_it() {
        let edges = graph(&[(0, 1), (1, 2), (2, 1), (2, 3)], 4);
        assert_eq!(sorted(&edges), None);
        assert_eq!(cycle(&edges), [1, 2]);
    }
}
