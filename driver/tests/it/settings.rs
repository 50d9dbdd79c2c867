//! Settings: where they are wrong is said, and each place overrides the ones before.

use insta::assert_snapshot;

use crate::bed::{Bed, pair};

#[test]
fn what_is_wrong_is_named_with_its_file() {
    let bed = Bed::new();
    bed.write("home/.config/encamp/settings.toml", "[timeout]\ncreate = \"5m\"\n");
    assert_snapshot!(bed.encamp(&["ls"]), @"");
    bed.write("home/.config/encamp/settings.toml", "[timeouts]\ncreate = 300\n");
    assert_snapshot!(bed.encamp(&["ls"]), @"");
    bed.write("home/.config/encamp/settings.toml", "[timeouts\n");
    assert_snapshot!(bed.encamp(&["ls"]), @"");
    bed.write("home/.config/encamp/settings.toml", "[providers.lab]\nkind = \"ssh\"\n");
    assert_snapshot!(bed.encamp(&["ls"]), @"");
    bed.write("home/.config/encamp/settings.toml", "[providers.lab]\nhost = \"x\"\n");
    assert_snapshot!(bed.encamp(&["ls"]), @"");
    bed.write("home/.config/encamp/settings.toml", "state_dir = \"here\"\n");
    assert_snapshot!(bed.encamp(&["ls"]), @"");
}

#[test]
fn a_wrong_variable_is_named() {
    let bed = Bed::new();
    assert_snapshot!(bed.run(bed.command(&["ls"]).env("ENCAMP__STATEDIR", "/x")), @"");
    assert_snapshot!(bed.run(bed.command(&["ls"]).env("ENCAMP__TIMEOUTS__CREATE", "soon")), @"");
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
