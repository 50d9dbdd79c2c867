//! `encamp run` on a real daemon.

use insta::assert_snapshot;
use rustix::process::Signal;

use crate::bed::{Bed, pair, signal};

const PASSES: &str = r#"
page=$(wget -q -O - "$WEB_URL")
echo "the page says $page"
printf '\033]0;evil\007red\n'
echo "<testsuite name='pair' tests='1'><testcase classname='web' name='says hello'/></testsuite>" >report.xml
[ "$page" = hello ]
"#;

#[test]
fn a_run_that_passes_leaves_results_and_nothing_else() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair(PASSES));
    let ran = bed.encamp(&["run"]).exits(0);
    assert_snapshot!(ran.stdout, @r"
    Slowest: [T] · time-line: encamp-out/timeline.html
    1 task, 1 test, all passed in [T] · results in encamp-out/
    ");
    let page = bed.read("encamp-out/timeline.html");
    for text in ["<th>web</th>", "test · fetch", "<th>down</th>"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    for line in [
        "pair-[RUN] 2 machines, ttl 10m",
        "client | the page says hello",
        "client | red",
        "nothing left",
    ] {
        assert!(ran.stderr.contains(line), "{line}: {ran}");
    }
    assert!(!ran.stderr.contains('\u{1b}'), "{ran}");
    assert!(bed.read("encamp-out/junit.xml").contains("says hello"));
    let report: serde_json::Value = serde_json::from_str(&bed.read("encamp-out/report.json")).unwrap();
    assert_eq!(report["outcome"], "passed");
    bed.nothing_is_left();
    assert_eq!(bed.encamp(&["ls"]).stdout, "no environments\n");
}

#[test]
fn a_run_that_fails_shows_its_last_words() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair(PASSES));
    let ran = bed
        .encamp(&["run", "--set", "inputs.greeting=bye", "--out", "results"])
        .exits(1);
    assert_snapshot!(ran.stdout, @r#"
    FAILED test · fetch on client: `page=$(wget -q -O - "$WEB_URL") …` exited 1
      the page says bye
      red
    Slowest: [T] · time-line: results/timeline.html
    Again with the machines kept: encamp run --keep=on-failure --set inputs.greeting=bye
    1 task failed in [T] · results in results/
    "#);
    bed.nothing_is_left();
}

#[test]
fn kept_machines_can_be_looked_into() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("echo oops; exit 3"));
    let ran = bed.encamp(&["run", "--keep=on-failure"]).exits(1);
    assert!(
        ran.stdout.contains("Kept: encamp exec MACHINE -e pair-[RUN] -- sh"),
        "{ran}"
    );
    assert!(ran.stdout.contains("· kept as pair-[RUN] ·"), "{ran}");
    assert_eq!(
        bed.encamp(&["exec", "web", "--", "cat", "/srv/index.html"]).stdout,
        "hello\n"
    );
    let again = bed.encamp(&["run", "--keep"]).exits(1);
    assert!(again.stdout.contains("kept as"), "{again}");
    let ran = bed.encamp(&["show"]).exits(2);
    assert!(
        ran.stderr
            .contains("error[E0303]: several environments came from this folder's encamp.toml: pair-"),
        "{ran}"
    );
}

#[test]
fn an_image_that_is_not_there_is_a_provider_failure() {
    let bed = Bed::with_docker();
    bed.write(
        "encamp.toml",
        &pair("true").replace("busybox:1.35", "encamp-driver-it/nothing:1"),
    );
    let ran = bed.encamp(&["run"]).exits(3);
    assert!(
        ran.stderr
            .contains("error[E0412]: image `encamp-driver-it/nothing:1` is not here and cannot be pulled"),
        "{ran}"
    );
    assert!(
        ran.stderr.contains("web and client on `docker`") || ran.stderr.contains("web on `docker`"),
        "{ran}"
    );
    assert!(
        ran.stdout
            .starts_with("0 of 2 machines ready, no task ran, failed after"),
        "{ran}"
    );
    bed.nothing_is_left();
}

#[test]
fn events_are_lines_of_json() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true").replace("junit", "artifacts"));
    let ran = bed.encamp(&["run", "--json"]);
    let events: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(names.first(), Some(&"planned"), "{ran}");
    assert_eq!(names.last(), Some(&"report"), "{ran}");
    for name in [
        "machine",
        "ready",
        "task_started",
        "task_finished",
        "disposing",
        "disposed",
    ] {
        assert!(names.contains(&name), "{name}: {ran}");
    }
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_run_is_repeated_on_fresh_machines_and_ends_as_its_worst() {
    let bed = Bed::with_docker();
    // The count is kept here, because each run has machines of its own.
    let task = "[stages.tasks]";
    let text = pair("true")
        .replace("junit = [\"report.xml\"]\n", "")
        .replace("on = \"client\"", "on = \"controller\"");
    let text = text.replace("\ntrue\n", "\necho x >>count; [ $(wc -l <count) != 2 ]\n");
    assert!(text.contains("wc -l") && text.contains(task), "{text}");
    bed.write("encamp.toml", &text);
    let ran = bed.encamp(&["run", "--repeat", "3", "--out", "out"]).exits(1);
    assert!(
        ran.stdout
            .ends_with("2 of 3 runs passed, not 2 in [T] · results in out/1 to 3\n"),
        "{ran}"
    );
    assert!(
        ran.stderr.contains("run 1 of 3\n") && ran.stderr.contains("run 3 of 3\n"),
        "{ran}"
    );
    let report = |number: u32| -> serde_json::Value {
        serde_json::from_str(&bed.read(&format!("out/{number}/report.json"))).unwrap()
    };
    assert_eq!(
        [1, 2, 3].map(|number| report(number)["outcome"].clone()),
        ["passed", "failed", "passed"]
    );
    assert_ne!(report(1)["environment"], report(3)["environment"]);

    std::fs::remove_file(bed.path().join("count")).unwrap();
    let ran = bed
        .encamp(&["run", "--repeat", "9", "--until-failed", "--out", "again", "--json"])
        .exits(1);
    let last: serde_json::Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(
        (last["event"].as_str(), last["exit"].as_i64()),
        (Some("repeated"), Some(1)),
        "{ran}"
    );
    assert_eq!(last["runs"].as_array().map(Vec::len), Some(2), "{ran}");
    bed.nothing_is_left();
}

#[test]
fn a_shell_waits_in_the_machine_that_failed() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("echo traces >/tmp/traces; exit 3"));
    let ran = bed.encamp(&["run", "--shell-on-failure"]).exits(2);
    assert!(
        ran.stderr
            .contains("error[E0307]: --shell-on-failure opens a shell on a terminal, and there is none here"),
        "{ran}"
    );
    let ran = bed
        .on_terminal(
            "run --shell-on-failure",
            "a shell in client",
            "cat /tmp/traces; exit 0\n",
        )
        .exits(1);
    assert!(
        ran.stdout
            .contains("FAILED test · fetch on client · a shell in client of pair-"),
        "{ran}"
    );
    assert!(
        ran.stdout.contains("\ntraces\n") && ran.stdout.contains("1 task failed"),
        "{ran}"
    );
    bed.nothing_is_left();
    let ran = bed
        .on_terminal(
            "run --shell-on-failure --set inputs.greeting=hi",
            "a shell in client",
            "exit\n",
        )
        .exits(1);
    assert!(ran.stdout.contains("nothing left"), "{ran}");
}

#[test]
fn a_task_that_took_too_long_and_those_after_it_are_told() {
    let bed = Bed::with_docker();
    let task = |name: &str| format!("[[stages.tasks]]\nname = \"{name}\"\non = \"client\"\nrun = \"true\"\n\n");
    let after = format!("[[stages]]\nname = \"after\"\n\n{}{}[outputs]", task("a"), task("b"));
    let text = pair("sleep 30").replace("\"1m\"", "\"1s\"");
    bed.write("encamp.toml", &text.replace("[outputs]", &after));
    let ran = bed.encamp(&["run"]).exits(1);
    assert!(
        ran.stdout
            .contains("FAILED test · fetch on client: `sleep 30`: it did not end within 1s\n"),
        "{ran}"
    );
    assert!(ran.stdout.contains("1 task failed, 2 skipped in [T] · "), "{ran}");
}

#[test]
fn two_runs_do_not_write_into_one_folder() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("sleep 60"));
    let first = bed.start(&["run"]);
    bed.until_ready(2);
    let report = bed.path().join("encamp-out/report.json");
    let ran = bed.encamp(&["run"]).exits(2);
    for line in [
        "error[E0304]: another run writes its results into encamp-out\n",
        "  now:   nothing was started\n",
        "  help:  name another folder with --out",
    ] {
        assert!(ran.stderr.contains(line), "{line}: {ran}");
    }
    assert!(!report.exists());
    // The lock dies with its process, however that ends.
    signal(&first, Signal::KILL);
    drop(bed.ran(first));
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["run"]);
    assert!(report.exists());
    bed.nothing_is_left();
}
