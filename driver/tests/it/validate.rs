//! `validate`, `explain`, `completions`: what needs no store.

use insta::assert_snapshot;

use crate::bed::{Bed, pair};

#[test]
fn a_good_file_is_a_line() {
    let bed = Bed::new();
    bed.write("encamp.toml", &pair("true"));
    assert_snapshot!(bed.encamp(&["validate"]), @r"
    exit 0
    -- stdout
    encamp.toml: ok   2 machines, 1 stage, 1 provider
    -- stderr
    ");
    let ran = bed.encamp(&["validate", "--json"]).exits(0);
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["machines"], serde_json::json!(["web", "client"]), "{ran}");
    assert_eq!(said["warnings"], serde_json::json!([]), "{ran}");
    assert!(!bed.path().join("state").exists(), "it makes no store");
}

#[test]
fn a_wrong_file_has_all_its_errors_and_exit_2() {
    let bed = Bed::new();
    let text = pair("true")
        .replace("docker.image", "docker.imagee")
        .replace("machines.web.end", "machines.wbe.end");
    bed.write("encamp.toml", &text);
    let ran = bed.encamp(&["validate"]).exits(2);
    for line in ["error[E0103]", "error[E0120]", "did you mean `web`"] {
        assert!(ran.stderr.contains(line), "{line}: {ran}");
    }
    assert!(
        ran.stderr
            .trim_end()
            .ends_with("errors, 0 warnings · nothing was started"),
        "{ran}"
    );
    let ran = bed.encamp(&["validate", "--json"]).exits(2);
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(
        said["errors"].as_array().is_some_and(|errors| errors.len() > 2),
        "{ran}"
    );
    assert_eq!((said["exit"].as_i64(), ran.stderr.as_str()), (Some(2), ""));
}

#[test]
fn a_hostile_file_moves_no_cursor() {
    let bed = Bed::new();
    bed.write("encamp.toml", "name = \"a\u{1b}]0;evil\u{7}\u{1b}[2Jb\"\n");
    let ran = bed.encamp(&["validate"]).exits(2);
    assert!(!ran.stderr.contains('\u{1b}') && !ran.stderr.contains('\u{7}'), "{ran}");
    let ran = bed.encamp(&["validate", "no\u{1b}[2Jwhere"]).exits(2);
    assert!(!ran.stderr.contains('\u{1b}'), "{ran}");
}

#[test]
fn codes_of_files_and_of_failures_are_explained() {
    let bed = Bed::new();
    let ran = bed.encamp(&["explain", "e0401"]).exits(0);
    assert!(
        ran.stdout.starts_with("E0401   no daemon answers\n\nThe provider's"),
        "{ran}"
    );
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 88), "{ran}");
    let all = bed.encamp(&["explain"]).exits(0).stdout;
    for line in ["E0103   an unknown key\n", "E0415   a port is taken\n", "W0202   "] {
        assert!(all.contains(line), "{line}: {all}");
    }
    assert_snapshot!(bed.encamp(&["explain", "E9999"]), @r"
    exit 2
    -- stdout
    -- stderr
    error[E0302]: no code is called `E9999`
      help:  encamp explain lists them
    ");
}

#[test]
fn wrong_settings_explain_themselves_and_keep_nobody_from_the_explanation() {
    let bed = Bed::new();
    bed.write("home/.config/encamp/settings.toml", "[timeout]\n");
    bed.encamp(&["validate"]).exits(2);
    bed.encamp(&["explain", "E0301"]).exits(0);
}

#[test]
fn editors_get_a_schema_with_the_kinds_tables() {
    let bed = Bed::new();
    let ran = bed.encamp(&["schema"]).exits(0);
    let schema: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(
        ran.stdout.contains("\"docker\"") && ran.stdout.contains("\"stages\""),
        "{ran}"
    );
    assert!(!bed.path().join("state").exists(), "it makes no store");
}

/// What a shell is answered at the last of the words.
fn completed(bed: &Bed, words: &[&str]) -> Vec<String> {
    let mut command = bed.command(&["--", "encamp"]);
    command.args(words);
    command
        .env("ENCAMP_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_IFS", "\n");
    bed.run(&mut command)
        .exits(0)
        .stdout
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn shells_complete_verbs_and_flags() {
    let bed = Bed::new();
    for (shell, mark) in [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete --")] {
        let script = bed.encamp(&["completions", shell]).exits(0).stdout;
        assert!(script.contains(mark) && script.contains("ENCAMP_COMPLETE"), "{script}");
    }
    assert_eq!(completed(&bed, &["val"]), ["validate"]);
    assert!(completed(&bed, &["run", "--k"]).contains(&"--keep".to_owned()));
    assert_eq!(completed(&bed, &["show", "-e", ""]), Vec::<String>::new());
    assert!(!bed.path().join("state").exists(), "completing makes no store");
    // One that is broken says nothing either.
    bed.write("state/store.db", "no store");
    assert_eq!(completed(&bed, &["show", "-e", ""]), Vec::<String>::new());
}

#[test]
fn docker_names_are_completed_from_the_store() {
    let bed = Bed::with_docker();
    bed.write("encamp.toml", &pair("true"));
    bed.encamp(&["up"]).exits(0);
    assert_eq!(completed(&bed, &["show", "-e", ""]), ["pair"]);
    assert_eq!(completed(&bed, &["exec", "w"]), ["web"]);
    assert_eq!(completed(&bed, &["logs", "-e", "pair", "c"]), ["client"]);
    assert_eq!(completed(&bed, &["logs", "-e", "other", "c"]), Vec::<String>::new());
}

/// Named without a folder, the file lies in this one.
#[test]
fn the_folder_itself_can_be_meant() {
    let bed = Bed::new();
    let machine =
        "[machines.web]\nprovider = \"docker\"\ndocker.build = \".\"\nsetup = [{ copy = \".\", to = \"/srv\" }]\n";
    bed.write("encamp.toml", &format!("name = \"here\"\n{machine}"));
    bed.write("Dockerfile", "FROM busybox:1.35\n");
    for arguments in [&["validate"][..], &["validate", "encamp.toml"], &["validate", "."]] {
        bed.encamp(arguments).exits(0);
    }
}

#[test]
fn inputs_come_from_a_file_and_set_overrides_it() {
    let bed = Bed::new();
    let inputs = "[inputs]\nsize = { type = \"integer\" }\nname = { type = \"string\" }";
    bed.write("encamp.toml", &pair("true").replace("[inputs]", inputs));
    bed.write("given/some.toml", "size = 3\nname = 7\n");
    let inputs = ["--inputs", "given/some.toml"];
    let ran = bed.encamp(&["validate"]).exits(2);
    assert!(ran.stderr.contains("`size`") && ran.stderr.contains("`name`"), "{ran}");
    let ran = bed.encamp(&[&["validate"], &inputs[..]].concat()).exits(2);
    assert!(ran.stderr.contains("given/some.toml:2"), "{ran}");
    assert!(!ran.stderr.contains("`size`"), "{ran}");
    bed.encamp(&[&["validate", "--set", "name=x"], &inputs[..]].concat())
        .exits(0);
    let ran = bed.encamp(&["validate", "--inputs", "nowhere.toml"]).exits(2);
    assert!(ran.stderr.contains("nowhere.toml cannot be read"), "{ran}");
    for verb in ["plan", "run", "up"] {
        let ran = bed.encamp(&[&[verb], &inputs[..]].concat()).exits(2);
        assert!(ran.stderr.contains("given/some.toml:2"), "{verb}: {ran}");
    }
}

#[test]
fn a_secret_is_seen_only_where_that_is_allowed() {
    let bed = Bed::new();
    let secret =
        "[secrets]\ntoken = { variable = \"TOKEN\" }\n\n[machines.web]\nenv = { T = \"{{ secret('token') }}\" }";
    bed.write("encamp.toml", &pair("true").replace("[machines.web]", secret));
    let ran = bed.encamp(&["validate"]).exits(2);
    assert!(
        ran.stderr.contains("error[E0145]") && ran.stderr.contains("--allow-visible"),
        "{ran}"
    );
    bed.encamp(&["validate", "--allow-visible"]).exits(0);
}

#[test]
fn a_number_where_a_size_is_wanted_gets_its_unit_and_all_keys_are_named() {
    let bed = Bed::new();
    let head = "name = \"x\"\n[machines.web]\nprovider = \"docker\"\ndocker.image = \"a\"\n";
    bed.write("encamp.toml", &format!("{head}docker.memory = 512\n"));
    let ran = bed.encamp(&["validate"]).exits(2);
    assert!(ran.stderr.contains("^^^ help: \"512MiB\""), "{ran}");
    bed.write("encamp.toml", &format!("{head}docker.qqqq = 512\n"));
    let ran = bed.encamp(&["validate"]).exits(2);
    let keys = ran
        .stderr
        .lines()
        .find(|line| line.contains("keys of [machines.web.docker]"));
    assert!(keys.is_some_and(|keys| keys.ends_with(" volumes workdir")), "{ran}");
}
