//! Tasks that are wrong, and what is said of them.

use insta::assert_snapshot;

use crate::fake::wrong;

/// A file with one stage and these tasks.
fn tasks(tasks: &[&str]) -> String {
    let mut text =
        "name = \"shop\"\n[machines.web]\nprovider = \"lab\"\ncount = 2\n[[stages]]\nname = \"test\"\n".to_owned();
    for task in tasks {
        text += "[[stages.tasks]]\n";
        text += task;
        text += "\n";
    }
    wrong(&text)
}

#[test]
fn a_task_does_exactly_one_thing() {
    assert_snapshot!(tasks(&["name = 'a'\non = 'web'\nrun = 'x'\nscript = 'install.sh'"]), @r#"
    error[E0142]: a task does one thing, and this one has `run` and `script`
      --> env/encamp.toml:11:1
       |
    10 | run = 'x'
       | --- the first
    11 | script = 'install.sh'
       | ^^^^^^ make it a task of its own
    "#);
    assert_snapshot!(tasks(&["name = 'a'\non = 'web'\nrum = 'x'"]), @r#"
    error[E0103]: unknown key `rum`
      --> env/encamp.toml:10:1
       |
    10 | rum = 'x'
       | ^^^ help: a key with a similar name: `run`
    "#);
    assert_snapshot!(tasks(&["name = 'a'\non = 'web'"]), @r#"
    error[E0142]: a task says what is done, and this one does not
     --> env/encamp.toml:7:1
      |
    7 | [[stages.tasks]]
      | ^^^^^^^^^^^^^^^^ help: one of run script copy template fetch do
    "#);
}

#[test]
fn keys_belong_to_what_is_done() {
    assert_snapshot!(tasks(&["name = 'a'\non = 'web'\nrun = 'x'\nto = '/y'\nmachine = 'web'\noutput = 'z'"]), @r#"
    error[E0103]: `to` belongs to a task with `copy`, `template`, `fetch` or `sync`
      --> env/encamp.toml:11:1
       |
    11 | to = '/y'
       | ^^
    error[E0103]: `machine` belongs to a task with `do`
      --> env/encamp.toml:12:1
       |
    12 | machine = 'web'
       | ^^^^^^^
    error[E0103]: `output` belongs to a step with `run` or `script` in the set-up of a machine
      --> env/encamp.toml:13:1
       |
    13 | output = 'z'
       | ^^^^^^
    "#);
    assert_snapshot!(tasks(&["name = 'a'\non = 'web'\ncopy = 'site'\nto = '/y'\njunit = ['x']\nbackground = true"]), @r#"
    error[E0103]: `junit` belongs to a task with `run` or `script`
      --> env/encamp.toml:12:1
       |
    12 | junit = ['x']
       | ^^^^^
    error[E0103]: `background` belongs to a task with `run` or `script`
      --> env/encamp.toml:13:1
       |
    13 | background = true
       | ^^^^^^^^^^
    "#);
}

#[test]
fn a_tree_is_for_the_set_up() {
    assert_snapshot!(tasks(&["name = 'a'\non = 'web'\nsync = '.'\nto = '/y'"]), @r#"
    error[E0142]: `sync` belongs to the set-up of a machine, not to a task
      --> env/encamp.toml:10:1
       |
    10 | sync = '.'
       | ^^^^ help: `setup = [{ sync = … }]` of the machine; in a task `copy`
    "#);
}

#[test]
fn the_controller_takes_commands_alone() {
    assert_snapshot!(tasks(&["name = 'a'\non = 'controller'\ncopy = 'site'\nto = '/y'"]), @r#"
    error[E0142]: `copy` brings something to a machine, and the controller is none
      --> env/encamp.toml:10:1
       |
    10 | copy = 'site'
       | ^^^^ help: on the controller a task has `run` or `script`
    "#);
}

#[test]
fn what_is_done_to_machines() {
    assert_snapshot!(tasks(&["name = 'a'\ndo = 'stpo'\nmachine = 'web'"]), @r#"
    error[E0109]: `stpo` is nothing that can be done to a machine
     --> env/encamp.toml:9:6
      |
    9 | do = 'stpo'
      |      ^^^^^^ help: did you mean `stop`?
    "#);
    assert_snapshot!(tasks(&["name = 'a'\ndo = 'stop'\non = 'web-0'"]), @r#"
    error[E0104]: a task with `do = "stop"` has no `machine`
     --> env/encamp.toml:9:1
      |
    9 | do = 'stop'
      | ^^ help: add `machine = "web"`
    error[E0103]: with `do` the machine stands in `machine`
      --> env/encamp.toml:10:1
       |
    10 | on = 'web-0'
       | ^^ help: `machine = 'web-0'`
    "#);
    assert_snapshot!(tasks(&["name = 'a'\ndo = 'stop'\nmachine = 'wbe'\nrun = 'x'"]), @r#"
    error[E0142]: a task does one thing, and this one has `do` and `run`
      --> env/encamp.toml:11:1
       |
     9 | do = 'stop'
       | -- the first
    10 | machine = 'wbe'
    11 | run = 'x'
       | ^^^ make it a task of its own
    "#);
    assert_snapshot!(tasks(&["name = 'a'\ndo = 'pause'\nmachine = 'controller'\nuser = 'x'"]), @r#"
    error[E0120]: the controller is where encamp itself runs, and no machine
      --> env/encamp.toml:10:11
       |
    10 | machine = 'controller'
       |           ^^^^^^^^^^^^
    error[E0103]: unknown key `user`
      --> env/encamp.toml:11:1
       |
    11 | user = 'x'
       | ^^^^
       |
       = note: keys of a task with `do = "pause"`: name timeout retries every always allow_failure raw do machine
    "#);
    assert_snapshot!(tasks(&["name = 'a'\ndo = 'start'\nmachine = 'web-7'"]), @r#"
    error[E0120]: no machine is called `web-7`
      --> env/encamp.toml:10:11
       |
    10 | machine = 'web-7'
       |           ^^^^^^^ help: did you mean `web`?
    "#);
}

#[test]
fn tasks_that_are_waited_for() {
    assert_snapshot!(tasks(&["name = 'end'\ndo = 'finish'\ntask = 'load'", "name = 'load'\non = 'web'\nrun = 'x'\nbackground = true"]), @r#"
    error[E0150]: no task `load` was begun before this one in its stage
      --> env/encamp.toml:10:8
       |
    10 | task = 'load'
       |        ^^^^^^ help: a task before this one, with `background = true`
    "#);
    assert_snapshot!(tasks(&["name = 'load'\non = 'web'\nrun = 'x'\nbackground = true", "name = 'end'\ndo = 'finish'\ntask = 'laod'"]), @r#"
    error[E0150]: no task `laod` was begun before this one in its stage
      --> env/encamp.toml:15:8
       |
    15 | task = 'laod'
       |        ^^^^^^ help: did you mean `load`?
    "#);
    assert_snapshot!(tasks(&["name = 'load'\non = 'web'\nrun = 'x'", "name = 'end'\ndo = 'finish'\ntask = 'load'"]), @r#"
    error[E0150]: `load` does not run in the background: it is over when the next task begins
      --> env/encamp.toml:14:8
       |
    14 | task = 'load'
       |        ^^^^^^ help: `background = true` in the task `load`
    "#);
    assert_snapshot!(tasks(&["name = 'load'\non = 'web'\nrun = 'x'\nbackground = true", "name = 'end'\ndo = 'finish'\ntask = 'load'", "name = 'end-2'\ndo = 'finish'\ntask = 'load'"]), @r#"
    error[E0150]: `load` is finished already by a task before this one
      --> env/encamp.toml:19:8
       |
    19 | task = 'load'
       |        ^^^^^^
    "#);
    assert_snapshot!(tasks(&["name = 'end'\ndo = 'finish'"]), @r#"
    error[E0104]: a task with `do = "finish"` has no `task`
     --> env/encamp.toml:9:1
      |
    9 | do = 'finish'
      | ^^ help: add `task = "load"`
    "#);
}

#[test]
fn raw_takes_a_boolean() {
    assert_snapshot!(tasks(&["name = 'a'\non = 'web'\nrun = '{{ x'\nraw = 'yes'"]), @r#"
    error[E0113]: this expression is not closed by `}}`
      --> env/encamp.toml:10:8
       |
    10 | run = '{{ x'
       |        ^^ help: for the braces themselves write `{{ '{{' }}`
    error[E0107]: expected a boolean, found a string
      --> env/encamp.toml:11:7
       |
    11 | raw = 'yes'
       |       ^^^^^ help: `true` or `false`
    "#);
}

#[test]
fn patterns_of_files() {
    assert_snapshot!(tasks(&["name = 'a'\non = 'web'\nrun = 'x'\nartifacts = ['logs/[a-', 'ok/**']"]), @r#"
    error[E0148]: `logs/[a-` is no pattern: unclosed character class; missing ']'
      --> env/encamp.toml:11:14
       |
    11 | artifacts = ['logs/[a-', 'ok/**']
       |              ^^^^^^^^^^
    "#);
}
