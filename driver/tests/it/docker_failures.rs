//! The failures that a newcomer meets, each in its six parts: what, where, why, the state now, what to type, a code.

use std::net::TcpListener;

use crate::bed::{Bed, Ran, pair};

#[track_caller]
fn says(ran: &Ran, lines: &[&str]) {
    let mut rest = ran.stderr.as_str();
    for line in lines {
        let Some(at) = rest.find(line) else {
            panic!("{line:?} is missing, or not where it belongs: {ran}");
        };
        rest = &rest[at + line.len()..];
    }
}

#[test]
fn an_image_that_is_missing_names_its_neighbours() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true").replace("busybox:1.35", "busybox:0.0.0"));
    let ran = bed.encamp(&["up"]).exits(3);
    says(
        &ran,
        &[
            "error[E0412]: image `busybox:0.0.0` is not here and cannot be pulled\n",
            "  while: up pair, web on `docker`, step prepare, after [T]\n",
            "  at:    encamp.toml:9:16\n",
            "  why:   ",
            "  near:  busybox:1.35",
            "  now:   nothing was started\n",
            "  help:  docker pull busybox:0.0.0",
        ],
    );
    assert_eq!(ran.stderr.matches("error[").count(), 1, "nothing is said twice: {ran}");
}

fn publishing(port: u16) -> String {
    pair("true").replace(
        "{ http = 8080 }",
        &format!("{{ http = {{ port = 8080, publish = {port} }} }}"),
    )
}

#[test]
fn a_port_that_is_taken_names_who_holds_it() {
    let bed = Bed::with_docker();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    bed.write("encamp.toml", &publishing(port));
    let ran = bed.encamp(&["up"]).exits(3);
    let pid = std::process::id();
    says(
        &ran,
        &[
            &format!("error[E0415]: port {port} of the engine's host is taken\n"),
            "  while: up pair, web on `docker`, step start, after [T]\n",
            "  at:    encamp.toml:11:43\n",
            &format!("  why:   held by: pid {pid} `"),
            "address already in use\n",
            "  now:   web is there and not ready; client does not exist\n",
            "  help:  drop `publish` to get a free port",
        ],
    );
    drop(holder);
    bed.encamp(&["up", "--yes"]).exits(0);

    bed.write("other/encamp.toml", &publishing(port).replace("\"pair\"", "\"other\""));
    let ran = bed.encamp(&["up", "other"]).exits(3);
    says(
        &ran,
        &[
            "error[E0415]: ",
            "  why:   held by: machine web of environment `pair` (encamp down -e pair)\n",
        ],
    );
}

#[test]
fn a_machine_that_never_was_has_no_log_to_be_missed() {
    let bed = Bed::with_docker();
    let text = pair("true").replace("[machines.client]", "[machines.client]\ndocker.workdir = \"relative\"");
    bed.write("encamp.toml", &text);
    let ran = bed.encamp(&["run"]).exits(3);
    says(&ran, &["error[E0411]: the engine refuses the request\n"]);
    assert!(!ran.stderr.contains("could not be kept"), "{ran}");
    assert!(bed.path().join("encamp-out/logs/web.log").exists(), "{ran}");
    bed.nothing_is_left();
}

#[test]
fn two_checkouts_of_one_name_are_refused_with_both_paths() {
    let bed = Bed::with_docker();
    bed.write("one/encamp.toml", &pair("true"));
    bed.write("two/encamp.toml", &pair("true"));
    bed.encamp(&["up", "one"]).exits(0);
    let before = bed.on_daemon();
    let refused = [
        "error[E0304]: an environment called `pair` is up already, from another file\n",
        "  why:   it came from: [BED]/one/encamp.toml\n         this file is: [BED]/two/encamp.toml\n",
        "  now:   nothing was started\n",
        "  help:  change `name` in one of them, or end the other: encamp down -e pair\n",
    ];
    says(&bed.encamp(&["up", "two"]).exits(2), &refused);
    says(&bed.encamp(&["plan", "two"]).exits(2), &refused);
    assert_eq!(bed.on_daemon(), before);
}

#[test]
fn a_sweep_without_its_daemon_says_what_ended_and_what_may_be_there() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    let without = |verb: &str| {
        let mut command = bed.command(&[verb]);
        bed.run(command.env("ENCAMP__PROVIDERS__DOCKER__HOST", "unix:///nonexistent"))
    };
    let ran = without("gc").exits(4);
    assert_eq!(ran.stdout, "nothing was due · 1 site not reached · there are pair\n");
    says(&ran, &["; something of ours may be there   "]);
    without("down").exits(4);
    let ran = without("gc").exits(4);
    assert!(
        ran.stdout
            .ends_with("not ended: pair · 1 site not reached · there are pair\n"),
        "{ran}"
    );
    assert!(!ran.stdout.contains("environment ended"), "{ran}");
    let ran = bed.encamp(&["gc"]).exits(0);
    assert!(ran.stdout.ends_with("1 environment ended · no environments\n"), "{ran}");
    bed.nothing_is_left();
    let ran = without("gc").exits(0);
    assert_eq!(ran.stdout, "nothing was due · 1 site not reached · no environments\n");
    says(&ran, &["; nothing of ours is known to be there   "]);
}
