//! Providers in shell with one mistake each, as people make them: `provider check` says which promise each breaks.

use crate::plugins::Lab;

/// Pieces of the script that `provider new` writes, each with what stands in its place; and the promise that shows it.
struct Breach {
    what: &'static str,
    changes: &'static [(&'static str, &'static str)],
    promise: &'static str,
}

const fn breach(what: &'static str, changes: &'static [(&'static str, &'static str)], promise: &'static str) -> Breach {
    Breach { what, changes, promise }
}

const CREATE: &str = "    mkdir -p \"$at/home\"\n";
const PREFIXED: &str = "for at in \"$root/$ENCAMP_PREFIX\"*; do";
const LISTED: &str = "[ -d \"$at/home\" ] || continue";
const ADOPTED: &str = "if [ -e \"$at/pid\" ]; then echo '{\"adopted\":true}'; exit; fi";
const ENV: &str = "printf '%s' \"${ENCAMP_ENV:-}\" >\"$at/env.$$\" && mv \"$at/env.$$\" \"$at/env\"";
const COMMAND: &str = "exec \"$@\"";
const GONE: &str = "destroy)";
const KILL: &str = "    if lives 2>/dev/null; then kill -KILL \"-$pid\"; fi\n";
const REMOVE: &str = "    rm -rf \"$at\" ;;";
const COMPLETE: &str = "    echo '{\"complete\":true}' ;;";
const WAIT: &str = "while [ ! -e \"$at/pid\" ]; do sleep 0.01; done ;;";
const ONCE: &str = "echo $$ $(cut -d\" \" -f22 /proc/$$/stat) >\"$1/$$\"; ln \"$1/$$\" \"$1/pid\" 2>&- || exit";

const BREACHES: [Breach; 19] = [
    breach(
        "a create that ignores its key",
        &[("create)", "create) at=$at-$$")],
        "creation::a_repeated_create_finds_the_same_machine",
    ),
    breach(
        "a create that says no word of what it adopts",
        &[(ADOPTED, "if [ -e \"$at/pid\" ]; then exit; fi")],
        "creation::a_repeated_create_finds_the_same_machine",
    ),
    breach(
        "a create that refuses what is there",
        &[(ADOPTED, "[ ! -e \"$at/pid\" ] || refuse conflict 'it is there'")],
        "creation::a_repeated_create_through_another_instance_finds_it_too",
    ),
    breach(
        "a create that loses the variables",
        &[(ENV, ": >\"$at/env\"")],
        "creation::the_environment_reaches_the_machine",
    ),
    breach(
        "a list that forgets",
        &[(LISTED, "continue")],
        "listing::machines_and_scope_items_are_listed_with_key_and_class",
    ),
    breach(
        "a list that shows one alone",
        &[
            (COMPLETE, "    :;;"),
            ("\"$phase\"\n", "\"$phase\"; echo '{\"complete\":true}'; exit\n"),
        ],
        "listing::one_environment_is_listed_alone",
    ),
    breach(
        "a list that does not say that it is complete",
        &[(COMPLETE, "    :;;")],
        "listing::an_empty_environment_is_listed_completely",
    ),
    breach(
        "a list to which everything runs",
        &[(
            "printf '{\"key\":\"%s\",\"phase\":%s}",
            "phase='\"running\"'; printf '{\"key\":\"%s\",\"phase\":%s}",
        )],
        "creation::an_early_end_is_seen_with_its_code",
    ),
    breach(
        "a destroy that fails on the absent",
        &[(GONE, "destroy) here")],
        "removal::destroying_what_never_was_says_gone",
    ),
    breach(
        "a destroy that removes the record alone",
        &[(KILL, "")],
        "removal::a_destroyed_machine_leaves_no_process_here",
    ),
    breach(
        "a destroy that does nothing",
        &[(REMOVE, "    : ;;")],
        "removal::a_destroyed_machine_is_gone_from_a_complete_listing",
    ),
    breach(
        "a destroy of everything",
        &[(REMOVE, "    rm -rf \"$root\"/ec-* ;;")],
        "removal::a_destroy_leaves_the_others",
    ),
    breach(
        "an exec that loses its exit code",
        &[(COMMAND, "\"$@\" || :")],
        "commands::exit_codes_are_exact",
    ),
    breach(
        "an exec that takes its command for a line of a shell",
        &[(COMMAND, "eval \"$*\"")],
        "commands::arguments_arrive_as_they_are",
    ),
    breach(
        "an exec that stays where it is",
        &[("cd \"${ENCAMP_CWD:-$at/home}\"; ", "")],
        "commands::a_folder_can_be_chosen",
    ),
    breach(
        "an exec that mixes errors in",
        &[(COMMAND, "exec \"$@\" 2>&1")],
        "streams::output_and_errors_are_apart",
    ),
    breach(
        "an exec without input",
        &[(COMMAND, "exec \"$@\" </dev/null")],
        "streams::input_comes_back_to_its_end",
    ),
    breach(
        "an exec that cuts a flood short",
        &[(COMMAND, "\"$@\" | head -c 1048576")],
        "streams::large_output_is_not_lost",
    ),
    breach(
        "logs that are not followed",
        // More than one line is there by then.
        &[(
            "if [ -z \"${ENCAMP_FOLLOW:-}\" ]",
            "[ -z \"${ENCAMP_FOLLOW:-}\" ] || sleep 0.6; if :",
        )],
        "logs::logs_are_followed",
    ),
];

/// To say that it cannot is no breach of this one, nor is what takes too long: so it has its time.
const SILENT: [Breach; 1] = [breach(
    "a list that fails silently",
    &[
        ("root=${TMPDIR:-/tmp}/encamp-lab-$(id -u)", "root=$TMPDIR/yards"),
        (
            "mkdir -pm 700 \"$root\" && [",
            "[ -d \"$root\" ] || mkdir -m 700 \"$root\"; [",
        ),
        (PREFIXED, "for at in $(ls -d \"$root/$ENCAMP_PREFIX\"*); do"),
    ],
    "listing::what_cannot_be_asked_is_not_listed_as_empty",
)];

/// What goes well as long as nothing is killed.
const KILLED: [Breach; 7] = [
    breach(
        "a create that writes its record only at its end",
        &[
            (
                ADOPTED,
                "if [ -e \"$at/pid\" ]; then echo '{\"adopted\":true}'; exit; fi; made=$at; at=$root/new-$$",
            ),
            (
                WAIT,
                "while [ ! -e \"$at/pid\" ]; do sleep 0.01; done; sleep 0.2; mv \"$at\" \"$made\" ;;",
            ),
            (
                ONCE,
                "cd \"$1/home\"; echo $$ $(cut -d\" \" -f22 /proc/$$/stat) >\"$1/$$\"; ln \"$1/$$\" \"$1/pid\"; set -- .. \"$2\"",
            ),
        ],
        "killed::a_killed_create_makes_one_machine",
    ),
    breach(
        "a create that takes for a machine what is half of one",
        &[
            (ADOPTED, "if [ -d \"$at\" ]; then echo '{\"adopted\":true}'; exit; fi"),
            (CREATE, "    mkdir -p \"$at/home\"; sleep 0.2\n"),
        ],
        "killed::a_killed_create_makes_one_machine",
    ),
    breach(
        "a create that begins twice where it is called twice",
        &[
            (
                ONCE,
                "cd \"$1/home\"; . \"$1/env\"; sleep 0.3; { echo $$ $(cut -d\" \" -f22 /proc/$$/stat) >\"$1/pid\"; } 2>&-",
            ),
            ("; cd \"$1/home\"; . \"$1/env\"\n", "\n"),
        ],
        "killed::a_killed_create_makes_one_machine",
    ),
    breach(
        "a create that gives its machine the variables last",
        &[
            (ENV, ": >\"$at/env\""),
            (
                WAIT,
                "while [ ! -e \"$at/pid\" ]; do sleep 0.01; done; sleep 0.2; printf '%s' \"$ENCAMP_ENV\" >\"$at/env\" ;;",
            ),
        ],
        "killed::a_killed_create_makes_one_machine",
    ),
    breach(
        // The first one takes long, as one may on a busy host.
        "a lock that stays where its holder was killed",
        &[(
            "create)",
            "create) case $ENCAMP_KEY in *-rehearsal-*) sleep 3;; esac; mkdir \"$root/lock\" || refuse unavailable busy; sleep 0.1; trap 'rmdir \"$root/lock\"' EXIT",
        )],
        "killed::a_killed_create_makes_one_machine",
    ),
    breach(
        "a destroy that forgets before it ends",
        &[(
            KILL,
            "    lives 2>/dev/null && rm -rf \"$at\" && sleep 0.2 && kill -KILL \"-$pid\" || :\n",
        )],
        "killed::a_killed_destroy_is_finished_by_the_next",
    ),
    breach(
        "a list that is busy for ever",
        &[
            (
                PREFIXED,
                "mkdir \"$root/busy\" || refuse unavailable busy; sleep 0.1; for at in \"$root/$ENCAMP_PREFIX\"*; do",
            ),
            (COMPLETE, "    rmdir \"$root/busy\"; echo '{\"complete\":true}' ;;"),
        ],
        "killed::a_killed_look_changes_nothing",
    ),
];

fn is_found(breach: &Breach, options: &[&str]) {
    let Breach { what, changes, promise } = breach;
    let lab = Lab::new();
    let mut script = lab.bed.read("lab/lab.sh");
    for (right, wrong) in *changes {
        assert_eq!(script.matches(right).count(), 1, "{what}: {right}");
        script = script.replace(right, wrong);
    }
    std::fs::write(lab.bed.path().join("lab/lab.sh"), script).expect("it can be written");
    if promise.starts_with("killed::") {
        // Whoever kills nothing sees nothing of it.
        lab.encamp(&["provider", "check", "lab", "--only", "creation::a_repeated"])
            .exits(0);
    }
    let checked = lab.encamp(&[&["provider", "check", "lab", "--only", promise], options].concat());
    let found = format!("broken       {}\n", promise.replace("::", ": ").replace('_', " "));
    assert!(
        checked.code == 3 && checked.stdout.contains(&found),
        "{what}: {checked}"
    );
    // What is not to be found again by its own provider is ended here.
    lab.end_all();
}

/// They wait more than they work.
fn each(breaches: &[Breach], options: &[&str]) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(breach) = breaches.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    is_found(breach, options);
                }
            });
        }
    });
}

#[test]
fn every_breach_of_a_script_is_found() {
    each(&BREACHES, &["--within", "3s"]);
    each(&SILENT, &["--within", "30s"]);
}

#[test]
fn what_only_a_kill_shows_is_found() {
    each(&KILLED, &["--kill", "--within", "5s"]);
    let lab = Lab::new();
    let refused = lab.encamp(&["provider", "check", "lab", "--only", "killed"]).exits(2);
    assert!(refused.stderr.contains("encamp provider check lab --kill"), "{refused}");
}

/// Whatever takes its time at each of its steps is killed at each of them.
#[test]
fn a_provider_that_is_killed_at_any_step_keeps_its_promises() {
    let lab = Lab::new();
    let script = lab.bed.read("lab/lab.sh");
    let (head, arms) = script.split_once("create)").expect("it has a create");
    let (arms, rest) = arms.split_once("exec)").expect("it has an exec");
    let slow = arms
        .replace(CREATE, &format!("{CREATE}    sleep 0.02\n"))
        .replace(ONCE, &format!("sleep 0.02; {ONCE}; sleep 0.02"))
        .replace(WAIT, &WAIT.replace(" ;;", "; sleep 0.02 ;;"))
        .replace(KILL, &format!("    sleep 0.02\n{KILL}    sleep 0.02\n"))
        .replace(REMOVE, "    rm -rf \"$at\"/[a-z]*; sleep 0.02; rm -rf \"$at\" ;;");
    assert_eq!(slow.matches("sleep 0.02").count(), 7, "{slow}");
    std::fs::write(
        lab.bed.path().join("lab/lab.sh"),
        format!("{head}create){slow}exec){rest}"),
    )
    .expect("it can be written");
    let checked = lab
        .encamp(&["provider", "check", "lab", "--kill", "--only", "killed"])
        .exits(0);
    assert!(checked.stdout.contains("4 held, 0 broken"), "{checked}");
    assert_eq!(lab.machines(), 0);
}
