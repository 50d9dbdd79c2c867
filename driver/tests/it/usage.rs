//! Help and wrong usage.

use insta::assert_snapshot;

use crate::bed::Bed;

#[test]
fn help_names_what_works_and_nothing_else() {
    assert_snapshot!(Bed::new().encamp(&["--help"]), @"");
}

#[test]
fn short_help_of_each_verb() {
    let bed = Bed::new();
    let verbs = ["run", "up", "down", "ls", "show", "exec", "logs", "gc"];
    let usages = verbs.map(|verb| bed.encamp(&[verb, "-h"]).exits(0).stdout);
    let usages: Vec<&str> = usages
        .iter()
        .filter_map(|help| help.lines().find(|line| line.starts_with("Usage")))
        .collect();
    assert_snapshot!(usages.join("\n"), @"");
}

#[test]
fn wrong_usage_exits_2() {
    let bed = Bed::new();
    assert_snapshot!(bed.encamp(&["dwon"]), @"");
    assert_snapshot!(bed.encamp(&["exec", "web", "true"]), @"");
    assert_snapshot!(bed.encamp(&["up", "--set", "version"]), @"");
    assert_snapshot!(bed.encamp(&["logs", "--since", "10"]), @"");
    bed.encamp(&[]).exits(2);
}
