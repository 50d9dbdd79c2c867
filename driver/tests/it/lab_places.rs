//! Several who want the hosts of one lab, by the program as its users have it.

use std::fmt::Write as _;
use std::process::{Child, Stdio};

use rustix::process::Signal;

use crate::bed::{Bed, pause, signal};
use crate::lab::Lab;

const WAIT: &str = "--wait=2m";

/// A lab, and a bed whose settings have its hosts.
fn lab(hosts: usize) -> (Lab, Bed) {
    let lab = Lab::start(hosts).expect("apt-get install openssh-server openssh-client");
    let bed = Bed::with_local();
    let settings = lab.settings();
    let lines = |table: &serde_json::Value| -> String {
        let keys = table
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| *key != "hosts");
        let lines: Vec<String> = keys.map(|(key, value)| format!("{key} = {value}\n")).collect();
        lines.concat()
    };
    let mut text = format!("[providers.lab]\nkind = \"ssh\"\n{}", lines(&settings));
    for (name, host) in settings["hosts"].as_object().into_iter().flatten() {
        write!(text, "[providers.lab.hosts.{name}]\n{}", lines(host)).expect("a text takes it");
    }
    bed.write("home/.config/encamp/settings.toml", &text);
    (lab, bed)
}

/// Writes an environment of so many hosts whose task says its name in the file `order`.
fn describe(bed: &Bed, name: &str, count: usize) -> String {
    let order = bed.path().join("order");
    let text = format!(
        "name = \"{name}\"\n[machines.m]\nprovider = \"lab\"\ncount = {count}\n[[stages]]\nname = \"s\"\n\
         tasks = [{{ name = \"say\", on = \"m-0\", run = \"echo {name} >>{}\" }}]\n",
        order.display()
    );
    let text = if count == 1 {
        text.replace("count = 1\n", "").replace("m-0", "m")
    } else {
        text
    };
    let file = format!("{name}.toml");
    bed.write(&file, &text);
    file
}

/// What all claims of the lab together were.
fn claims(lab: &Lab) -> u64 {
    let epoch = |index: usize| {
        let record = std::fs::read_to_string(lab.at(&format!("host-{index}/record"))).unwrap_or_default();
        let line = record.lines().find_map(|line| line.strip_prefix("epoch "));
        line.map_or(0, |epoch| epoch.parse::<u64>().expect("it is a number"))
    };
    (0..lab.ports.len()).map(epoch).sum()
}

fn is_free(lab: &Lab) {
    for index in 0..lab.ports.len() {
        let record = std::fs::read_to_string(lab.at(&format!("host-{index}/record"))).unwrap_or_default();
        assert!(record.is_empty() || record.contains("state free\n"), "{record}");
        let kept = std::fs::read_to_string(lab.at(&format!("host-{index}/reserved"))).unwrap_or_default();
        assert_eq!(kept, "", "h{index} is kept for somebody");
    }
}

/// Starts a run of a file, whose words go into `NAME.said`.
fn start(bed: &Bed, name: &str, state: &str, arguments: &[&str]) -> Child {
    let said = std::fs::File::create(bed.path().join(format!("{name}.said"))).expect("a file can be made");
    let out = format!("out-{name}");
    let mut command = bed.command(&["run", "--out", &out]);
    command
        .args(arguments)
        .env("ENCAMP__STATE_DIR", bed.path().join(state))
        .stdout(Stdio::null())
        .stderr(said);
    command.spawn().expect("it starts")
}

fn until_said(bed: &Bed, name: &str, words: &str) {
    for _ in 0..300 {
        if bed.read(&format!("{name}.said")).contains(words) {
            return;
        }
        pause();
    }
    panic!("{name} never said `{words}`: {}", bed.read(&format!("{name}.said")));
}

fn ends_well(bed: &Bed, name: &str, mut run: Child) {
    let ended = run.wait().expect("it is a child");
    assert_eq!(ended.code(), Some(0), "{name}: {}", bed.read(&format!("{name}.said")));
}

#[test]
fn an_environment_gets_all_its_hosts_or_none() {
    let (lab, bed) = lab(2);
    let (one, two, three) = (
        describe(&bed, "one", 1),
        describe(&bed, "two", 2),
        describe(&bed, "three", 3),
    );
    bed.encamp(&["up", &one]).exits(0);
    assert_eq!(claims(&lab), 1);
    for wait in [&[][..], &["--wait=1s"]] {
        let refused = bed.encamp(&[&["up", &two], wait].concat()).exits(3);
        for words in ["lab has 1 free place", "taken by ec-", "now:   nothing was started"] {
            assert!(refused.stderr.contains(words), "{words}: {refused}");
        }
    }
    // Nobody waits for what will never be.
    let refused = bed.encamp(&["up", &three, "--wait=10m"]).exits(3);
    assert!(refused.stderr.contains("2 places for it in all"), "{refused}");
    assert_eq!(claims(&lab), 1);
    bed.encamp(&["down", "-e", "one"]).exits(0);
    bed.encamp(&["up", &two]).exits(0);
    assert_eq!(claims(&lab), 3);
    bed.encamp(&["down", "-e", "two"]).exits(0);
    is_free(&lab);
}

#[test]
fn those_who_wait_get_their_turn_in_order() {
    let (lab, bed) = lab(2);
    let holder = describe(&bed, "holder", 1);
    bed.encamp(&["up", &holder]).exits(0);
    let waiting = ["first", "dead", "last"].map(|name| {
        let file = describe(&bed, name, 2);
        let run = start(&bed, name, "state", &[WAIT, &file]);
        until_said(&bed, name, "waits for a place");
        (name, run)
    });
    until_said(&bed, "last", "number 3 in the queue");
    let [first, mut dead, last] = waiting;
    signal(&dead.1, Signal::KILL);
    dead.1.wait().expect("it is a child");
    until_said(&bed, "last", "number 2 in the queue");
    // One host is free, and is not for those who come later.
    let hasty = describe(&bed, "hasty", 1);
    let refused = bed.encamp(&["run", &hasty]).exits(3);
    assert!(refused.stderr.contains("number 3 in the queue"), "{refused}");
    bed.encamp(&["down", "-e", "holder"]).exits(0);
    ends_well(&bed, first.0, first.1);
    ends_well(&bed, last.0, last.1);
    assert_eq!(bed.read("order"), "first\nlast\n");
    bed.encamp(&["gc"]).exits(0);
    is_free(&lab);
}

#[test]
fn two_installations_never_block_each_other() {
    let (lab, bed) = lab(3);
    let names = ["a", "b", "c"];
    let runs = names.map(|name| {
        let file = describe(&bed, name, 2);
        start(&bed, name, &format!("state-{name}"), &[WAIT, &file])
    });
    for (name, run) in names.into_iter().zip(runs) {
        ends_well(&bed, name, run);
    }
    let mut order: Vec<String> = bed.read("order").lines().map(str::to_owned).collect();
    order.sort();
    assert_eq!(order, names);
    is_free(&lab);
}

#[test]
fn a_host_is_kept_for_a_machine_that_comes_later() {
    let (lab, bed) = lab(1);
    let file = "name = \"late\"\n[machines.early]\nprovider = \"local\"\nsetup = [{ run = \"until [ -e /go ]; do sleep 0.1; done\" }]\n\
                [machines.late]\nprovider = \"lab\"\ndepends_on = [\"early\"]\n[[stages]]\nname = \"s\"\n\
                tasks = [{ name = \"t\", on = \"late\", run = \"true\" }]\n";
    bed.write("late.toml", file);
    let late = start(&bed, "late", "state", &["late.toml"]);
    until_said(&bed, "late", "early setup");
    let other = describe(&bed, "other", 1);
    let mut hasty = start(&bed, "other", "other-state", &[&other]);
    assert_eq!(hasty.wait().expect("it is a child").code(), Some(3));
    let said = bed.read("other.said");
    assert!(said.contains("kept for ec-"), "{said}");
    assert_eq!(claims(&lab), 0);
    let listed: serde_json::Value = serde_json::from_str(&bed.encamp(&["ls", "--json"]).stdout).expect("it is JSON");
    let name = listed["environments"][0]["name"].as_str().expect("it has a name");
    bed.encamp(&["exec", "early", "-e", name, "--", "touch", "/go"])
        .exits(0);
    ends_well(&bed, "late", late);
    // It is free at once.
    let other = start(&bed, "again", "other-state", &[&other]);
    ends_well(&bed, "again", other);
    is_free(&lab);
}

#[test]
fn a_host_that_was_kept_is_free_when_its_machine_never_comes() {
    let (lab, bed) = lab(1);
    let file = "name = \"never\"\n[machines.early]\nprovider = \"local\"\nsetup = [{ run = \"exit 3\" }]\n\
                [machines.late]\nprovider = \"lab\"\ndepends_on = [\"early\"]\n";
    bed.write("never.toml", file);
    bed.encamp(&["up", "never.toml"]).exits(3);
    assert_eq!(claims(&lab), 0);
    is_free(&lab);
    assert!(lab.at("host-0/lock").exists(), "it was never kept");
}

#[test]
fn a_host_that_was_kept_is_free_when_its_environment_was_killed() {
    let (lab, bed) = lab(1);
    let file = "name = \"killed\"\n[machines.early]\nprovider = \"local\"\nsetup = [{ run = \"sleep 600\" }]\n\
                [machines.late]\nprovider = \"lab\"\ndepends_on = [\"early\"]\n";
    bed.write("killed.toml", file);
    let mut run = start(&bed, "killed", "state", &["killed.toml"]);
    let kept = lab.at("host-0/reserved");
    bed.until("the host is kept", || {
        std::fs::metadata(&kept).is_ok_and(|kept| kept.len() > 0)
    });
    signal(&run, Signal::KILL);
    run.wait().expect("it is a child");
    bed.encamp(&["gc"]).exits(0);
    is_free(&lab);
    assert_eq!(claims(&lab), 0);
}

#[test]
fn hosts_of_machines_that_take_long_are_not_kept_beside_them() {
    let (lab, bed) = lab(2);
    let file = "name = \"slow\"\n[machines.m]\nprovider = \"lab\"\ncount = 2\nsetup = [{ run = \"sleep 22\" }]\n";
    bed.write("slow.toml", file);
    bed.encamp(&["up", "slow.toml"]).exits(0);
    bed.encamp(&["down", "-e", "slow"]).exits(0);
    assert_eq!(claims(&lab), 2);
    is_free(&lab);
}

/// No other machine and no wait would help.
#[test]
fn why_no_host_fits_is_told() {
    let (lab, bed) = lab(2);
    let file = describe(&bed, "greedy", 1);
    let text = bed
        .read(&file)
        .replace("[[stages]]", "needs = { cpu = 100000 }\n[[stages]]");
    bed.write(&file, &text);
    let refused = bed.encamp(&["run", &file, "--wait=1m"]).exits(3);
    assert!(
        refused.stderr.contains(" processors") && refused.stderr.contains("no host of `lab` can be taken"),
        "{refused}"
    );
    assert!(
        !refused.stderr.contains("other machines of the environment"),
        "{refused}"
    );
    is_free(&lab);
}
