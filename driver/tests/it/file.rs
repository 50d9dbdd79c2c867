//! An environment file that is refused.

use insta::assert_snapshot;

use crate::bed::{Bed, pair};

#[test]
fn everything_wrong_is_said_at_once() {
    let bed = Bed::new();
    let text = pair("true")
        .replace("docker.image", "docker.imagee")
        .replace("machines.web.end", "machines.wbe.end");
    bed.write("encamp.toml", &text);
    let ran = bed.encamp(&["up"]).exits(2);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("unknown key `imagee`"), "{ran}");
    assert!(ran.stderr.contains("--> encamp.toml:"), "{ran}");
    assert!(ran.stderr.contains("did you mean `web`"), "{ran}");
    let last = ran.stderr.lines().last().unwrap();
    assert!(
        last.starts_with("encamp.toml: ") && last.ends_with("errors, 0 warnings · nothing was started"),
        "{ran}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let bed = Bed::new();
    assert_snapshot!(bed.encamp(&["run"]), @r"
    exit 2
    -- stdout
    -- stderr
    error[E0100]: encamp.toml cannot be read: No such file or directory (os error 2)
    encamp.toml: 1 error, 0 warnings · nothing was started
    ");
    assert_snapshot!(bed.encamp(&["run", "shop.toml", "--json"]), @r#"
    exit 2
    -- stdout
    {"v":1,"errors":[{"code":"E0100","help":null,"label":null,"message":"shop.toml cannot be read: No such file or directory (os error 2)","notes":[],"place":null,"secondary":[],"severity":"error"}],"event":"failed","exit":2}
    -- stderr
    "#);
}

#[test]
fn a_wrong_set_is_refused() {
    let bed = Bed::new();
    bed.write("encamp.toml", &pair("true"));
    let ran = bed.encamp(&["run", "--set", "inputs.greetin=x"]).exits(2);
    assert!(
        ran.stderr.contains("greetin") && ran.stderr.contains("nothing was started"),
        "{ran}"
    );
}
