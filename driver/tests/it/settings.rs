//! Settings: where they are wrong is said, and each place overrides the ones before.

use insta::assert_snapshot;

use crate::bed::{Bed, pair};

#[test]
fn what_is_wrong_is_named_with_its_file() {
    let bed = Bed::new();
    bed.write("home/.config/encamp/settings.toml", "[timeout]\ncreate = \"5m\"\n");
    assert_snapshot!(bed.encamp(&["ls"]), @r"
    exit 2
    -- stdout
    -- stderr
    error[E0301]: unknown key `timeout`, expected one of `state_dir`, `log`, `keeper`, `plugins`, `timeouts`, `providers`, `secrets`
      at:    [BED]/home/.config/encamp/settings.toml
      help:  did you mean `timeouts`?
    ");
    bed.write("home/.config/encamp/settings.toml", "[timeouts]\ncreate = 300\n");
    assert_snapshot!(bed.encamp(&["ls"]), @r#"
    exit 2
    -- stdout
    -- stderr
    error[E0301]: `timeouts.create`: `300` is no length of time: write a number with its unit, "90s", "10m" or "1h 30m"
      at:    [BED]/home/.config/encamp/settings.toml
    "#);
    bed.write("home/.config/encamp/settings.toml", "[timeouts\n");
    assert_snapshot!(bed.encamp(&["ls"]), @r"
    exit 2
    -- stdout
    -- stderr
    error[E0301]: these settings are no TOML
      at:    [BED]/home/.config/encamp/settings.toml
      why:   TOML parse error at line 1, column 10
               |
             1 | [timeouts
               |          ^
             unclosed table, expected `]`
    ");
    bed.write(
        "home/.config/encamp/settings.toml",
        "[providers.lab]\nkind = \"rack\"\n",
    );
    assert_snapshot!(bed.encamp(&["ls"]), @r"
    exit 2
    -- stdout
    -- stderr
    error[E0301]: [providers.lab]: no kind is called `rack`; there are: docker, local, ssh
      at:    [BED]/home/.config/encamp/settings.toml
    ");
    bed.write("home/.config/encamp/settings.toml", "[providers.lab]\nhost = \"x\"\n");
    assert_snapshot!(bed.encamp(&["ls"]), @r"
    exit 2
    -- stdout
    -- stderr
    error[E0301]: [providers.lab] says no `kind`
      at:    [BED]/home/.config/encamp/settings.toml
    ");
    bed.write("home/.config/encamp/settings.toml", "state_dir = \"here\"\n");
    assert_snapshot!(bed.encamp(&["ls"]), @r"
    exit 2
    -- stdout
    -- stderr
    error[E0301]: `state_dir` in a file must be an absolute path
      at:    [BED]/home/.config/encamp/settings.toml
      help:  a relative one can stand in --state and ENCAMP__STATE_DIR
    ");
}

#[test]
fn a_wrong_variable_is_named() {
    let bed = Bed::new();
    assert_snapshot!(bed.run(bed.command(&["ls"]).env("ENCAMP__STATEDIR", "/x")), @r"
    exit 2
    -- stdout
    -- stderr
    error[E0301]: unknown key `statedir`, expected one of `state_dir`, `log`, `keeper`, `plugins`, `timeouts`, `providers`, `secrets`
      at:    the ENCAMP__ variables
      help:  did you mean `state_dir`?
    ");
    assert_snapshot!(bed.run(bed.command(&["ls"]).env("ENCAMP__TIMEOUTS__CREATE", "soon")), @r#"
    exit 2
    -- stdout
    -- stderr
    error[E0301]: `timeouts.create`: `soon` is no length of time: write a number with its unit, "90s", "10m" or "1h 30m"
      at:    the ENCAMP__ variables
    "#);
}

#[test]
fn later_places_win() {
    let bed = Bed::new();
    bed.write("encamp.toml", &pair("true"));
    let host = |name: &str| format!("[providers.docker]\nhost = \"unix:///{name}.sock\"\n");
    let said = |bed: &Bed, variable: Option<&str>| {
        let mut command = bed.command(&["up"]);
        if let Some(value) = variable {
            command.env("ENCAMP__PROVIDERS__DOCKER__HOST", value);
        }
        bed.run(&mut command).exits(3).stderr
    };
    bed.write("home/.config/encamp/settings.toml", &host("user"));
    assert!(said(&bed, None).contains("unix:///user.sock"));
    bed.write(".encamp/settings.toml", &host("project"));
    assert!(said(&bed, None).contains("unix:///project.sock"));
    assert!(said(&bed, Some("unix:///variable.sock")).contains("unix:///variable.sock"));
}

#[test]
fn settings_that_a_provider_refuses_are_named_with_their_file() {
    let bed = Bed::new();
    bed.write("encamp.toml", &pair("true"));
    bed.write(".encamp/settings.toml", "[providers.docker]\nhots = \"x\"\n");
    let ran = bed.encamp(&["up"]).exits(2);
    assert!(
        ran.stderr.contains("error[E0301]") && ran.stderr.contains("hots"),
        "{ran}"
    );
    assert!(ran.stderr.contains("set in ./.encamp/settings.toml"), "{ran}");
}

#[test]
fn the_flag_wins_over_the_variable() {
    let bed = Bed::new();
    bed.encamp(&["ls", "--state", "elsewhere"]).exits(0);
    assert!(bed.path().join("elsewhere/store.db").exists());
    assert!(!bed.path().join("state").exists());
}

#[test]
fn a_secret_in_settings_is_refused_and_not_shown() {
    let bed = Bed::new();
    for wrong in [
        "token = \"hunter22\"",
        "token = { value = \"hunter22\" }",
        "token = { variable = 7 }",
        "token = {}",
        "token = { command = [\"hunter22\", 7] }",
    ] {
        bed.write(".encamp/settings.toml", &format!("[secrets]\n{wrong}\n"));
        let ran = bed.encamp(&["ls"]).exits(2);
        assert!(
            ran.stderr.contains("a secret never stands in settings themselves"),
            "{ran}"
        );
        assert!(ran.stderr.contains(".encamp/settings.toml"), "{ran}");
        assert!(!ran.stderr.contains("hunter22"), "{ran}");
    }
    let both = "[secrets]\ntoken = { variable = \"A\", file = \"b\" }\n";
    bed.write(".encamp/settings.toml", both);
    assert!(
        bed.encamp(&["ls"])
            .exits(2)
            .stderr
            .contains("token: it comes from one place")
    );
}

#[test]
fn what_is_wrong_before_anything_was_started_exits_2() {
    let bed = Bed::new();
    bed.write("encamp.toml", &pair("true"));
    let wrong = [
        ("ENCAMP__PROVIDERS__DOCKER__HSOT", "x", "hsot"),
        ("DOCKER_HOST", "garbage", "chosen by: DOCKER_HOST"),
    ];
    for verb in ["plan", "up", "run"] {
        for (variable, value, said) in wrong {
            let ran = bed.run(bed.command(&[verb]).env(variable, value)).exits(2);
            assert!(
                ran.stderr.contains("error[E0301]") && ran.stderr.contains(said),
                "{verb}: {ran}"
            );
        }
    }
    let mut repeated = bed.command(&["run", "--repeat", "3"]);
    let ran = bed.run(repeated.env("DOCKER_HOST", "garbage")).exits(2);
    assert!(ran.stdout.contains("0 of 1 run passed"), "{ran}");
}

#[test]
fn what_a_setting_would_allow_names_the_file_and_the_lines() {
    let bed = Bed::with_docker();
    let bind = "docker.volumes = [\"/etc:/host\"]\nports = {";
    bed.write("encamp.toml", &pair("true").replace("ports = {", bind));
    for verb in ["plan", "up", "run"] {
        let ran = bed.encamp(&[verb]).exits(2);
        assert!(
            ran.stderr
                .contains("error[E0403]: the bind mount of `/etc` is not allowed here\n")
                && ran.stderr.contains(
                    "  help:  if you want that, write in [BED]/home/.config/encamp/settings.toml:\n         \
                 [providers.docker]\n         allow = [\"bind-mounts\"]\n"
                ),
            "{verb}: {ran}"
        );
    }
    bed.write(
        ".encamp/settings.toml",
        "[providers.docker]\nallow = [\"privileges\"]\n",
    );
    let ran = bed.encamp(&["plan"]).exits(2);
    assert!(
        ran.stderr.contains(
            "write in ./.encamp/settings.toml:\n         [providers.docker]\n         \
             allow = [\"privileges\", \"bind-mounts\"]\n"
        ),
        "{ran}"
    );
    bed.write(
        ".encamp/settings.toml",
        "[providers.docker]\nallow = [\"privileges\", \"bind-mounts\"]\n",
    );
    bed.encamp(&["plan"]).exits(0);
}

#[test]
fn a_variable_may_hold_a_list_and_a_slip_gets_the_name_that_was_meant() {
    let bed = Bed::new();
    bed.write("encamp.toml", &pair("true"));
    let ran = bed
        .run(bed.command(&["validate"]).env("ENCAMP__TIMEOUT__CREATE", "3m"))
        .exits(2);
    assert!(ran.stderr.contains("  help:  did you mean `timeouts`?\n"), "{ran}");
    let allow = |list: &str| {
        let mut command = bed.command(&["doctor"]);
        bed.run(
            command
                .env("DOCKER_HOST", "unix:///nonexistent")
                .env("ENCAMP__PROVIDERS__DOCKER__ALLOW", list),
        )
    };
    for list in ["bind-mounts,privileges", "bind-mounts"] {
        let ran = allow(list);
        assert!(ran.stdout.contains("no Docker daemon answers at"), "{list}: {ran}");
    }
    assert!(
        allow("bind-mounts,all").stdout.contains("unknown variant `all`"),
        "{}",
        allow("all")
    );
}
