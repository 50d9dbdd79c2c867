//! Set-up, services, readiness and the kinds of tasks, on real machines.

use std::os::unix::process::ExitStatusExt;

use crate::bed::{Bed, signal};

const HEAD: &str = "name = \"tryout\"\nttl = \"10m\"\n";

/// A machine that stays up, with more keys.
fn machine(name: &str, keys: &str) -> String {
    format!(
        "[machines.{name}]\nprovider = \"docker\"\ndocker.image = \"busybox:1.35\"\n\
         docker.command = [\"sh\", \"-c\", \"[ ! -f /motd ] || cat /motd; exec sleep 600\"]\n{keys}\n"
    )
}

/// A stage with one task after the other.
fn tasks(tasks: &[&str]) -> String {
    let tasks = tasks.iter().enumerate();
    let tasks = tasks.map(|(index, keys)| format!("[[stages.tasks]]\nname = \"t{index}\"\n{keys}\n"));
    format!("[[stages]]\nname = \"test\"\n{}", tasks.collect::<String>())
}

fn output(bed: &Bed, task: usize, machine: &str) -> String {
    bed.read(&format!("encamp-out/artifacts/test/t{task}/{machine}/output.log"))
}

#[test]
fn a_machine_is_set_up_in_its_order() {
    let bed = Bed::with_docker();
    bed.write("motd", "from a file\n");
    bed.write(
        "conf/site.j2",
        "{% for n in names %}{{ n }} {% endfor %}on {{ me.name }}:{{ me.port('http') }}\n",
    );
    let script = bed.write(
        "conf/go.sh",
        "#!/bin/sh\necho ran with $1 >>/order\necho noise\necho token-42\n",
    );
    std::fs::set_permissions(script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let first = machine(
        "first",
        "ports = { http = 8080 }\n\
         setup = [\n\
           { run = \"echo run >>/order\" },\n\
           { script = \"conf/go.sh\", args = [\"a b\"], output = \"token\" },\n\
           { copy = \"motd\", to = \"/motd\" },\n\
           { copy = \"conf\", to = \"/srv/deep/conf\", owner = \"daemon:daemon\", mode = 0o640 },\n\
           { template = \"conf/site.j2\", to = \"/srv/\", vars = { names = [\"x\", \"y\"] } },\n\
           { run = \"echo after >>/order\", after = \"ready\" },\n\
         ]\n\
         ready = [{ log = \"^from a file\" }, { file = \"/srv/site.j2\" }, { run = \"echo probe >>/order && test $ENCAMP_PORT_HTTP = 8080\" }]",
    );
    let second = machine("second", "env = { TOKEN = \"{{ machines.first.outputs.token }}\" }");
    let stage = tasks(&[
        "on = \"first\"\nrun = \"cat /order /srv/site.j2; ls -ln /srv/deep/conf | tail -n 1\"",
        "on = \"second\"\nrun = \"echo $TOKEN\"",
    ]);
    bed.write("encamp.toml", &format!("{HEAD}{first}{second}{stage}"));
    bed.encamp(&["run"]).exits(0);
    let said = output(&bed, 0, "first");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..3], ["run", "ran with a b", "probe"], "{said}");
    assert!(lines.contains(&"after"), "{said}");
    assert!(said.contains("x y on first:8080"), "{said}");
    let listed = lines.last().unwrap();
    assert!(listed.starts_with("-rw-r-----    1 1        1"), "{said}");
    assert_eq!(output(&bed, 1, "second").trim(), "token-42");
    bed.nothing_is_left();
}

#[test]
fn a_step_that_fails_says_which_and_what_it_said() {
    let bed = Bed::with_docker();
    let keys = "setup = [{ run = \"true\" }, { run = \"echo on my way; exit 7\" }]";
    bed.write("encamp.toml", &format!("{HEAD}{}", machine("web", keys)));
    let ran = bed.encamp(&["up"]).exits(3);
    for part in [
        "exited 7",
        "on my way",
        "encamp.toml:7",
        "web on `docker`, step set-up 2 of 2, after",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {ran}");
    }
    bed.encamp(&["down"]).exits(0);
    bed.nothing_is_left();
}

/// Nobody knows how far a step came whose command died with encamp: the machine is made anew.
#[test]
fn a_set_up_that_was_cut_off_makes_the_machine_anew() {
    let bed = Bed::with_docker();
    let keys = "setup = [{ run = \"echo one >>/done\" }, { run = \"echo two >>/done\" }]";
    let stage = tasks(&["on = \"web\"\nrun = \"cat /done\""]);
    bed.write("encamp.toml", &format!("{HEAD}{}{stage}", machine("web", keys)));
    // 1: begun, 2: finished, 3: the second one begun.
    let mut up = bed.command(&["up"]);
    up.env("ENCAMP__FAILPOINT", "commit.set_up.web.after@3");
    assert_eq!(up.output().unwrap().status.signal(), Some(9));
    let planned = bed.encamp(&["plan"]).exits(0).stdout;
    assert!(planned.contains("its set-up was cut off"), "{planned}");
    let shown = bed.encamp(&["show"]).exits(0).stdout;
    assert!(shown.contains("  web   unfinished   docker "), "{shown}");
    // It was never ready, so nobody is asked.
    bed.encamp(&["up"]).exits(0);
    assert_eq!(
        bed.encamp(&["exec", "web", "--", "cat", "/done"]).exits(0).stdout,
        "one\ntwo\n"
    );
    // A finished step is not repeated.
    bed.encamp(&["down"]).exits(0);
    let mut up = bed.command(&["up"]);
    up.env("ENCAMP__FAILPOINT", "commit.set_up.web.after@2");
    assert_eq!(up.output().unwrap().status.signal(), Some(9));
    bed.encamp(&["up", "--yes"]).exits(0);
    assert_eq!(
        bed.encamp(&["exec", "web", "--", "cat", "/done"]).exits(0).stdout,
        "one\ntwo\n"
    );
    bed.encamp(&["down"]).exits(0);
    bed.nothing_is_left();
}

#[test]
fn a_service_is_supervised_and_its_words_are_kept() {
    let bed = Bed::with_docker();
    let keys = "services.flaky = { run = \"echo up >>/ups; echo said; sleep 0.2; exit 3\", restart = \"on-failure\" }\n\
                services.once = { run = \"echo once >>/once; exit 3\" }\n\
                ready = [{ run = \"test $(wc -l </ups) -ge 2\", within = \"30s\" }]";
    bed.write("encamp.toml", &format!("{HEAD}{}", machine("web", keys)));
    bed.encamp(&["up"]).exits(0);
    assert_eq!(
        bed.encamp(&[
            "exec",
            "web",
            "--",
            "sh",
            "-c",
            "until [ -s /once ]; do sleep 0.1; done; cat /once"
        ])
        .exits(0)
        .stdout,
        "once\n"
    );
    let logs = bed.encamp(&["logs", "web/flaky", "--tail", "1"]).exits(0);
    assert_eq!(logs.stdout, "said\n");
    let unknown = bed.encamp(&["logs", "web/nothing"]);
    assert!(
        unknown.code != 0 && unknown.stderr.contains("no service called `nothing`"),
        "{unknown}"
    );
    bed.encamp(&["down"]).exits(0);
    bed.nothing_is_left();
}

/// Holds once `tidy` listens, and `frail` has ended, and its supervisor with it.
const HAS_DIED: &str = "test -e /listens && cd /run/encamp/services && test -s frail.exit && { p=$(cut -d\" \" -f1 frail.pid); \
                        s=$(cut -d\" \" -f3 /proc/${p:-none}/stat); test \"${s:-Z}\" = Z; }";

#[test]
fn a_service_is_asked_to_end_before_its_machine_goes_and_a_dead_one_is_told() {
    let bed = Bed::with_docker();
    let tidy = "trap 'rm -f /listens; echo tidied >/kept/x; exit 0' TERM; touch /listens; while :; do sleep 0.1; done";
    let keys = format!(
        "services.tidy = {{ run = \"{tidy}\" }}\nservices.frail = {{ run = \"exit 3\" }}\n\
         services.done = {{ run = \"true\" }}\n\
         services.calm = {{ run = \"exec sleep 1000\" }}\n\
         docker.volumes = [{{ name = \"kept\", path = \"/kept\", shared = true }}]\n\
         ready = [{{ run = '{HAS_DIED}', within = \"30s\" }}]"
    );
    let reader = machine(
        "reader",
        "docker.volumes = [{ name = \"kept\", path = \"/kept\", shared = true }]",
    );
    bed.write("encamp.toml", &format!("{HEAD}{}{reader}", machine("web", &keys)));
    let ran = bed.encamp(&["up"]).exits(0);
    assert!(
        ran.stderr
            .contains("warning: web/frail died: exited 3 (encamp logs web/frail)\n"),
        "{ran}"
    );
    assert!(!ran.stderr.contains("web/done died"), "{ran}");
    let shown = bed.encamp(&["show", "--live"]).exits(0);
    let died = "Died    web/frail: exited 3 (encamp logs web/frail)\n";
    assert!(shown.stdout.contains(died), "{shown}");
    let kept = || bed.encamp(&["exec", "reader", "--", "cat", "/kept/x"]);
    assert_ne!(kept().code, 0);
    bed.encamp(&["stop", "web", "--grace", "2s"]).exits(0);
    assert_eq!(kept().exits(0).stdout, "tidied\n");
    bed.encamp(&["exec", "reader", "--", "rm", "/kept/x"]).exits(0);
    bed.encamp(&["start", "web"]).exits(0);
    bed.encamp(&["down", "web", "--yes"]).exits(0);
    assert_eq!(kept().exits(0).stdout, "tidied\n");
    // Whoever is ended by others says so, and where it was killed together with who looks after it that is seen.
    bed.encamp(&["up"]).exits(0);
    let sh = |line: &str| bed.encamp(&["exec", "web", "--", "sh", "-c", line]).exits(0);
    let supervisor = |name: &str| format!("$(cut -d' ' -f1 /run/encamp/services/{name}.pid)");
    sh(&format!(
        "kill -KILL {}; kill -TERM {}",
        supervisor("tidy"),
        supervisor("calm")
    ));
    sh("while [ -e /run/encamp/services/calm.pid ]; do sleep 0.1; done");
    let shown = bed.encamp(&["show", "--live"]).exits(0);
    for died in ["web/tidy: exited 137 ", "web/calm: exited 143 "] {
        assert!(shown.stdout.contains(died), "{shown}");
    }
    // A number that has passed on to another process is no supervisor.
    sh("echo 1 5 >/run/encamp/services/calm.pid");
    bed.encamp(&["stop", "web"]).exits(0);
    bed.encamp(&["start", "web"]).exits(0);
    let shown = bed.encamp(&["show", "--live"]).exits(0);
    assert!(
        !shown.stdout.contains("web/calm") && !shown.stdout.contains("web/tidy"),
        "{shown}"
    );
    sh(&format!("[ {0} != 1 ] && kill -0 {0}", supervisor("calm")));
    bed.encamp(&["down"]).exits(0);
    bed.nothing_is_left();
}

#[test]
fn a_supervisor_goes_with_its_service_and_starts_none_that_was_ended() {
    let bed = Bed::with_docker();
    let slow =
        "trap 'until [ -e /may ]; do sleep 0.1; done; echo tidied >/tidied; exit 0' TERM; while :; do sleep 0.1; done";
    let keys = format!(
        "services.slow = {{ run = \"{slow}\" }}\n\
         services.wild = {{ run = \"echo >>/starts; exit 3\", restart = \"on-failure\" }}"
    );
    bed.write("encamp.toml", &format!("{HEAD}{}", machine("web", &keys)));
    bed.encamp(&["up"]).exits(0);
    let sh = |line: &str| bed.encamp(&["exec", "web", "--", "sh", "-c", line]).exits(0);
    let end = |name: &str| format!("kill -TERM $(cut -d' ' -f1 /run/encamp/services/{name}.pid)");
    // Asked twice, as by whoever is interrupted and comes again.
    let there = "[ -e /run/encamp/services/slow.pid ]";
    sh(&format!(
        "{0}; sleep 0.2; {0}; sleep 0.2; {there} && [ ! -e /tidied ]",
        end("slow")
    ));
    sh(&format!(
        "touch /may; while {there}; do sleep 0.1; done; [ -e /tidied ]"
    ));
    // In its pause after a failure.
    sh(&format!(
        "starts() {{ wc -l </starts; }}; n=$(starts); while [ $(starts) = $n ]; do sleep 0.1; done; \
         {}; while [ -e /run/encamp/services/wild.pid ]; do sleep 0.1; done; n=$(starts); sleep 2.5; [ $(starts) = $n ]",
        end("wild")
    ));
    let shown = bed.encamp(&["show", "--live"]).exits(0);
    for died in ["web/slow: exited 143 ", "web/wild: exited 143 "] {
        assert!(shown.stdout.contains(died), "{shown}");
    }
    bed.encamp(&["down"]).exits(0);
    bed.nothing_is_left();
}

/// The hub's members wait for each other, which no member could alone.
#[test]
fn a_group_is_judged_as_a_whole() {
    let bed = Bed::with_docker();
    let keys = "count = 3\n\
                docker.entrypoint = [\"sh\", \"-c\", \"mkdir /www; hostname >/www/index.html; exec httpd -f -p 80 -h /www\"]\n\
                ports = { http = 80 }\n\
                ready = [{ http = \"http\" }, { run = \"for i in 0 1 2; do wget -q -O- http://hub-$i; done\", of = \"group\" }]";
    bed.write("encamp.toml", &format!("{HEAD}{}", machine("hub", keys)));
    bed.encamp(&["up"]).exits(0);
    bed.encamp(&["down"]).exits(0);
    // One that never comes so far keeps none of them waiting for ever.
    let broken = keys.replace(
        "{ http = \"http\" }",
        "{ run = \"test $(hostname) != hub-1\", within = \"1s\" }",
    );
    bed.write("encamp.toml", &format!("{HEAD}{}", machine("hub", &broken)));
    let ran = bed.encamp(&["up"]).exits(3);
    assert!(ran.stderr.contains("hub-1"), "{ran}");
    bed.encamp(&["down"]).exits(0);
    bed.nothing_is_left();
}

#[test]
fn tasks_run_behind_others_and_stop_and_start_machines() {
    let bed = Bed::with_docker();
    bed.write("tool.sh", "#!/bin/sh\necho tool $1\n");
    let web = machine(
        "web",
        "docker.entrypoint = [\"sh\", \"-c\", \"exec httpd -f -p 80 -h /etc\"]\nports = { http = 80 }\nready = [{ tcp = \"http\" }]\n\
         docker.init = true",
    );
    let client = machine("client", "");
    let stage = tasks(&[
        "on = \"client\"\nbackground = true\nrun = \"while :; do timeout 2 wget -q -O /dev/null http://web/hostname && echo good || echo bad; sleep 0.1; done | tee /said\"",
        "on = \"client\"\nbackground = true\nrun = \"sleep 1; echo finished\"",
        "on = \"client\"\nrun = \"until grep -q good /said; do sleep 0.1; done\"",
        "do = \"stop\"\nmachine = \"web\"",
        "on = \"client\"\nrun = \"until grep -q bad /said; do sleep 0.1; done; ! timeout 2 wget -q -O /dev/null http://web/hostname\"",
        "do = \"start\"\nmachine = \"web\"",
        "on = \"client\"\nrun = \"wget -q -O /dev/null http://web/hostname\"",
        "do = \"pause\"\nmachine = \"web\"",
        "on = \"client\"\nrun = \"! timeout 1 wget -q -O /dev/null http://web/hostname\"",
        "do = \"unpause\"\nmachine = \"web\"",
        "do = \"kill\"\nmachine = \"web\"",
        "do = \"restart\"\nmachine = \"web\"",
        "on = \"client\"\ncopy = \"tool.sh\"\nto = \"/opt/tool.sh\"\nmode = 0o755",
        "on = \"client\"\nrun = [\"/opt/tool.sh\", \"copied\"]",
        "on = \"client\"\nscript = \"tool.sh\"\nargs = [\"scripted\"]",
        "do = \"finish\"\ntask = \"t1\"",
    ]);
    bed.write("encamp.toml", &format!("{HEAD}{web}{client}{stage}"));
    bed.encamp(&["run"]).exits(0);
    let behind = output(&bed, 0, "client");
    assert!(behind.contains("good") && behind.contains("bad"), "{behind}");
    assert_eq!(output(&bed, 1, "client"), "finished\n");
    assert_eq!(output(&bed, 13, "client"), "tool copied\n");
    assert_eq!(output(&bed, 14, "client"), "tool scripted\n");
    bed.nothing_is_left();
}

#[test]
fn a_background_task_that_fails_by_itself_fails_its_stage() {
    let bed = Bed::with_docker();
    let stage = tasks(&[
        "on = \"web\"\nbackground = true\nrun = \"touch /tmp/over; exit 4\"",
        "on = \"web\"\nrun = \"until [ -e /tmp/over ]; do sleep 0.1; done; sleep 2\"",
        "on = \"web\"\nrun = \"echo never\"",
    ]);
    bed.write("encamp.toml", &format!("{HEAD}{}{stage}", machine("web", "")));
    let ran = bed.encamp(&["run"]).exits(1);
    assert!(
        ran.stdout.contains("exited 4") || ran.stderr.contains("exited 4"),
        "{ran}"
    );
    assert!(!bed.path().join("encamp-out/artifacts/test/t2/web/output.log").exists());
    bed.nothing_is_left();
}

/// A machine that ends right after its start is not ready, and one that ends under a task is named.
#[test]
fn a_machine_that_dies_is_named() {
    let bed = Bed::with_docker();
    let web = "[machines.web]\nprovider = \"docker\"\ndocker.image = \"busybox:1.35\"\n\
               docker.command = [\"sh\", \"-c\", \"until test -e /tmp/go; do sleep 0.1; done; echo farewell; exit 3\"]\n";
    let stage = tasks(&["on = \"web\"\nrun = \"touch /tmp/go; sleep 20\""]);
    bed.write("encamp.toml", &format!("{HEAD}{web}{stage}"));
    let ran = bed.encamp(&["run"]).exits(3);
    for part in ["web died", "exited 3", "farewell", "help:"] {
        assert!(ran.stderr.contains(part), "{part}: {ran}");
    }
    bed.nothing_is_left();
}

#[test]
fn a_run_ends_with_its_lease() {
    let bed = Bed::with_docker();
    let stage = tasks(&["on = \"web\"\nrun = \"sleep 60\""]);
    let text = format!("{HEAD}{}{stage}", machine("web", "")).replace("10m", "6s");
    bed.write("encamp.toml", &text);
    let ran = bed.encamp(&["run"]).exits(3);
    assert!(ran.stderr.contains("its lease ended at"), "{ran}");
    bed.nothing_is_left();
}

#[test]
fn files_from_the_network_are_what_their_hash_says() {
    use sha2::Digest;
    let bed = Bed::with_docker();
    let served = tempfile::tempdir().unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    tar.append_data(&mut header, "inner/a.txt", &b"inner"[..]).unwrap();
    let packed = tar.into_inner().unwrap();
    std::fs::write(served.path().join("a.tar"), &packed).unwrap();
    let (port, _serving) = crate::bed::serve(served.path());
    let hash = sha2::Sha256::digest(&packed)
        .iter()
        .fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"));
    let keys = |hash: &str| {
        format!(
            "setup = [{{ fetch = \"http://127.0.0.1:{port}/a.tar\", sha256 = \"{hash}\", to = \"/opt\", unpack = true }}]"
        )
    };
    let stage = tasks(&["on = \"web\"\nrun = \"cat /opt/inner/a.txt\""]);
    bed.write("encamp.toml", &format!("{HEAD}{}{stage}", machine("web", &keys(&hash))));
    bed.encamp(&["run"]).exits(0);
    assert_eq!(output(&bed, 0, "web"), "inner\n");
    let wrong = hash.replace(['0', '1', '2', '3', '4'], "9");
    bed.write(
        "encamp.toml",
        &format!("{HEAD}{}{stage}", machine("web", &keys(&wrong))),
    );
    let ran = bed.encamp(&["run"]).exits(3);
    assert!(ran.stderr.contains("error[E0416]: "), "{ran}");
    for whole in [format!("wanted sha256: {wrong}\n"), format!("found sha256: {hash}\n")] {
        assert!(ran.stderr.contains(&whole), "{whole}: {ran}");
    }
    let absent = keys(&wrong).replace("/a.tar", "/b.tar");
    bed.write("encamp.toml", &format!("{HEAD}{}{stage}", machine("web", &absent)));
    let ran = bed.encamp(&["run"]).exits(3);
    for part in [
        "error[E0417]: http://127.0.0.1:",
        "404 Not Found",
        "step set-up 1 of 1, after",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {ran}");
    }
    bed.nothing_is_left();
}

#[test]
fn a_tree_is_synced_as_git_sees_it() {
    let bed = Bed::with_docker();
    bed.write("tree/.gitignore", "target\n");
    bed.write("tree/target/big", "no");
    bed.write("tree/a.txt", "one\n");
    bed.write("tree/b.txt", "two\n");
    let keys = "setup = [{ sync = \"tree\", to = \"/src\" }]";
    bed.write("encamp.toml", &format!("{HEAD}{}", machine("web", keys)));
    bed.encamp(&["up"]).exits(0);
    let listed = |bed: &Bed| bed.encamp(&["exec", "web", "--", "ls", "/src"]).exits(0).stdout;
    assert_eq!(listed(&bed), "a.txt\nb.txt\n");
    // The tree changes, and the machine stays.
    bed.write("tree/a.txt", "other\n");
    let planned = bed.encamp(&["plan"]).exits(0).stdout;
    assert!(planned.contains("1 unchanged"), "{planned}");
    bed.encamp(&["up"]).exits(0);
    let changed = bed.encamp(&["exec", "web", "--", "cat", "/src/a.txt"]).exits(0).stdout;
    assert_eq!(changed, "other\n");
    std::fs::remove_file(bed.path().join("tree/b.txt")).unwrap();
    let synced = bed.encamp(&["sync"]).exits(0).stdout;
    assert!(synced.contains("0 files sent, 1 removed"), "{synced}");
    assert_eq!(listed(&bed), "a.txt\n");
    assert!(bed.encamp(&["sync", "web"]).exits(0).stdout.contains("up to date"));
    let watching = bed.start_telling(&["sync", "--watch"], "watched");
    // What is there before would be brought by the command's own beginning.
    bed.until_told("watched", "watching; Ctrl-C ends it");
    bed.write("tree/new.txt", "n");
    bed.until("the new file", || {
        bed.encamp(&["exec", "web", "--", "test", "-e", "/src/new.txt"]).code == 0
    });
    signal(&watching, rustix::process::Signal::INT);
    bed.ran(watching).exits(0);
    bed.encamp(&["down"]).exits(0);
    bed.nothing_is_left();
}

/// Whoever types `down` does not wait until the other's step is over.
#[test]
fn an_up_that_is_not_wanted_any_more_stops_in_its_step() {
    let bed = Bed::with_docker();
    bed.write(
        "encamp.toml",
        &format!(
            "{HEAD}{}",
            machine("web", "setup = [{ run = \"touch /on; sleep 100\" }]")
        ),
    );
    let up = bed.start(&["up"]);
    bed.until("the step", || {
        bed.encamp(&["exec", "web", "--", "test", "-e", "/on"]).code == 0
    });
    bed.encamp(&["down"]).exits(0);
    let up = bed.ran(up);
    assert_eq!(up.code, 130, "{up}");
    assert!(up.stderr.contains("takes `tryout` down"), "{up}");
    bed.nothing_is_left();
}
