//! `encamp init` and `encamp doctor`.

use insta::assert_snapshot;

use crate::bed::Bed;

#[test]
fn an_empty_folder_gets_the_quickstart_and_a_file_is_never_overwritten() {
    let bed = Bed::new();
    std::fs::create_dir(bed.path().join("My_Shop")).unwrap();
    assert_snapshot!(bed.encamp(&["init", "My_Shop"]), @r"
    exit 0
    -- stdout
    Created My_Shop/encamp.toml   2 machines on `local`, 1 stage, ttl 15m
    Next: encamp run My_Shop/encamp.toml
    -- stderr
    ");
    let text = bed.read("My_Shop/encamp.toml");
    assert!(text.contains("name = \"my-shop\"") && !text.contains('@'), "{text}");
    bed.encamp(&["validate", "My_Shop"]).exits(0);
    assert_snapshot!(bed.encamp(&["init", "My_Shop"]), @r"
    exit 2
    -- stdout
    -- stderr
    error[E0310]: My_Shop/encamp.toml is there already
      now:   nothing was written
      help:  encamp validate checks it; or name another folder: encamp init FOLDER
    ");
    assert_eq!(bed.read("My_Shop/encamp.toml"), text);
}

#[test]
fn a_compose_file_is_told_key_by_key() {
    let bed = Bed::new();
    bed.write(
        "compose.yaml",
        "services:\n  web:\n    image: x\n    depends_on: [db]\n  db:\n    image: y\n    privileged: true\n",
    );
    let ran = bed.encamp(&["init"]).exits(0);
    assert!(ran.stdout.starts_with("Read compose.yaml   2 services; "), "{ran}");
    let text = bed.read("encamp.toml");
    for line in [
        "# compose.yaml describes: db, web.",
        "#   depends_on   nothing: write machines.db",
        "#   privileged ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    bed.encamp(&["validate"]).exits(0);
}

#[test]
fn docker_the_quickstart_runs_and_a_dockerfile_comes_up() {
    let bed = Bed::with_docker();
    std::fs::create_dir(bed.path().join("quick")).unwrap();
    bed.encamp(&["init", "quick"]).exits(0);
    let to_docker = ["--set", "machines.*.provider=docker"];
    for more in [&[][..], &to_docker] {
        let ran = bed.encamp(&[&["run", "quick"], more].concat()).exits(0);
        assert!(ran.stdout.contains("\n2 tasks, all passed in [T]"), "{ran}");
    }

    bed.write(
        "shop/Dockerfile",
        "FROM busybox:1.35\nRUN mkdir /srv && echo built >/srv/index.html\nEXPOSE 8080\nCMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/srv\"]\n",
    );
    let ran = bed.encamp(&["init", "shop"]).exits(0);
    assert_eq!(
        ran.stdout,
        "Read Dockerfile   built as machine `shop`\n\
         Created shop/encamp.toml   1 machine on `docker`, ttl 1h\n\
         Next: encamp up shop/encamp.toml\n"
    );
    bed.encamp(&["up", "shop"]).exits(0);
    let page = bed.encamp(&[
        "exec",
        "shop",
        "-e",
        "shop",
        "--",
        "wget",
        "-qO-",
        "http://127.0.0.1:8080/",
    ]);
    assert_eq!(page.stdout, "built\n", "{page}");
    bed.encamp(&["down", "-e", "shop"]).exits(0);
    bed.nothing_is_left();
}

#[test]
fn the_doctor_says_what_holds_and_what_mends_the_rest() {
    let bed = Bed::new();
    bed.write(
        "home/.config/encamp/settings.toml",
        "[providers.far]\nkind = \"docker\"\nhost = \"unix:///nonexistent\"\n",
    );
    let ran = bed
        .run(bed.command(&["doctor"]).env("DOCKER_HOST", "unix:///nowhere"))
        .exits(3);
    for line in [
        "ok     encamp     0.1.0; kinds: docker 0.1.0, local 0.1.0, ssh 0.1.0\n",
        "ok     settings   [BED]/home/.config/encamp/settings.toml, the ENCAMP__ variables\n",
        "ok     state      [BED]/state, controller ",
        "ok     store      0 environments\n",
        "fail   far        no Docker daemon answers at unix:///nonexistent: the socket does not exist\n       help:  sudo systemctl",
        "fail   docker     no Docker daemon answers at unix:///nowhere",
        "ok     local      answers in [T] (local:",
        ", 2 failures\n",
    ] {
        assert!(ran.stdout.contains(line), "{line}: {ran}");
    }
    let ran = bed.encamp(&["doctor", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["exit"], ran.code, "{ran}");
}

#[test]
fn docker_a_daemon_that_answers_is_well_and_what_is_due_is_said() {
    let bed = Bed::with_docker();
    let ran = bed.encamp(&["doctor"]).exits(0);
    assert!(
        ran.stdout.contains("ok     docker     answers in [T] (docker:"),
        "{ran}"
    );
    bed.write(
        "encamp.toml",
        &crate::bed::pair("true").replace("ttl = \"10m\"", "ttl = \"1s\""),
    );
    let mut up = bed.command(&["up"]);
    bed.run(up.env("ENCAMP__TIMEOUTS__GRACE", "0s"));
    let doctor = || bed.run(bed.command(&["doctor"]).env("ENCAMP__TIMEOUTS__GRACE", "0s"));
    let mut ran = doctor().exits(0);
    while !ran.stdout.contains("overdue") {
        crate::bed::pause();
        ran = doctor().exits(0);
    }
    assert!(
        ran.stdout
            .contains("warn   due        overdue: pair\n       help:  encamp gc\n"),
        "{ran}"
    );
}
