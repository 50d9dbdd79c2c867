//! Files beside the environment file that are not there, lead away, or cannot be rendered.

use std::path::Path;

use insta::assert_snapshot;

use crate::fake::{Memory, load_from, refused, wrong};

fn setup(step: &str) -> String {
    wrong(&text(step))
}

fn text(step: &str) -> String {
    format!(
        "name = \"shop\"\n[inputs]\nn = {{ default = 1 }}\n[secrets]\ntoken = {{ variable = \"T\" }}\n\
         [machines.db]\nprovider = \"lab\"\nports = {{ pg = 5432 }}\n[machines.web]\nprovider = \"docker\"\ncount = 2\n\
         ports = {{ http = 80 }}\ndocker.image = \"a\"\nsetup = [{{ {step} }}]\n"
    )
}

/// What is said of a template with this content.
fn template(content: &str) -> String {
    let mut memory = Memory::new(&text("template = 't.j2', to = '/t', vars = { a = 'x' }"));
    memory.put("t.j2", content);
    refused(load_from(&memory, |_| {}))
}

#[test]
fn files_that_are_not_there() {
    assert_snapshot!(setup("copy = 'sites', to = '/srv'"), @r#"
    error[E0143]: there is no `sites` in the folder of this file
      --> env/encamp.toml:14:19
       |
    14 | setup = [{ copy = 'sites', to = '/srv' }]
       |                   ^^^^^^^ help: did you mean `site`?
    "#);
    assert_snapshot!(setup("script = './conf/nothing-like-it.sh'"), @r#"
    error[E0143]: there is no `./conf/nothing-like-it.sh` in the folder of this file
      --> env/encamp.toml:14:21
       |
    14 | setup = [{ script = './conf/nothing-like-it.sh' }]
       |                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
    assert_snapshot!(setup("copy = '', to = '/srv'"), @r#"
    error[E0109]: this path is empty
      --> env/encamp.toml:14:19
       |
    14 | setup = [{ copy = '', to = '/srv' }]
       |                   ^^
    "#);
}

#[test]
fn paths_that_lead_away() {
    assert_snapshot!(setup("copy = '/etc/passwd', to = '/srv'"), @r#"
    error[E0144]: `/etc/passwd` does not stay in the folder of this file: it is absolute
      --> env/encamp.toml:14:19
       |
    14 | setup = [{ copy = '/etc/passwd', to = '/srv' }]
       |                   ^^^^^^^^^^^^^
       |
       = help: paths are relative to the environment file and stay beside or below it
    "#);
    assert_snapshot!(setup("copy = 'site/../../other', to = '/srv'"), @r#"
    error[E0144]: `site/../../other` does not stay in the folder of this file: `..` leads out of it
      --> env/encamp.toml:14:19
       |
    14 | setup = [{ copy = 'site/../../other', to = '/srv' }]
       |                   ^^^^^^^^^^^^^^^^^^
       |
       = help: paths are relative to the environment file and stay beside or below it
    "#);
    assert_snapshot!(setup("copy = 'way-out/passwd', to = '/srv'"), @r#"
    error[E0144]: `way-out/passwd` does not stay in the folder of this file: a link on the way leads out of the file's folder
      --> env/encamp.toml:14:19
       |
    14 | setup = [{ copy = 'way-out/passwd', to = '/srv' }]
       |                   ^^^^^^^^^^^^^^^^
       |
       = help: paths are relative to the environment file and stay beside or below it
    "#);
    assert_snapshot!(setup("sync = '..', to = '/srv'"), @r#"
    error[E0144]: `..` does not stay in the folder of this file: `..` leads out of it
      --> env/encamp.toml:14:19
       |
    14 | setup = [{ sync = '..', to = '/srv' }]
       |                   ^^^^
       |
       = help: paths are relative to the environment file and stay beside or below it
    "#);
}

#[test]
fn a_file_where_a_folder_is_wanted() {
    assert_snapshot!(setup("sync = 'install.sh', to = '/srv', exclude = ['a[']"), @r#"
    error[E0107]: expected a folder, and `install.sh` is a file
      --> env/encamp.toml:14:19
       |
    14 | setup = [{ sync = 'install.sh', to = '/srv', exclude = ['a['] }]
       |                   ^^^^^^^^^^^^
    error[E0148]: `a[` is no pattern: unclosed character class; missing ']'
      --> env/encamp.toml:14:57
       |
    14 | setup = [{ sync = 'install.sh', to = '/srv', exclude = ['a['] }]
       |                                                         ^^^^
    "#);
    assert_snapshot!(setup("script = 'site'"), @r#"
    error[E0107]: expected a file, and `site` is a folder
      --> env/encamp.toml:14:21
       |
    14 | setup = [{ script = 'site' }]
       |                     ^^^^^^
    "#);
}

#[test]
fn a_build_without_its_folder() {
    assert_snapshot!(wrong("name = 'x'\n[machines.a]\nprovider = 'docker'\ndocker.image = 'a'\ndocker.build = { context = 'wed' }\n"), @r#"
    error[E0143]: there is no `wed` in the folder of this file
     --> env/encamp.toml:5:28
      |
    5 | docker.build = { context = 'wed' }
      |                            ^^^^^ help: did you mean `web`?
    "#);
}

#[test]
fn a_link_that_stays_inside_is_fine() {
    let mut memory = Memory::new(&text("template = 'conf/way-in', to = '/t', vars = { greeting = 'x' }"));
    memory.put("conf/app.conf.j2", "{{ greeting }}");
    assert!(load_from(&memory, |_| {}).is_ok());
}

#[test]
fn templates_that_cannot_be_read() {
    assert_snapshot!(template("a\nb {% if x %}\nc\n"), @r#"
    error[E0149]: this template cannot be read: unexpected end of input, expected end of block
     --> env/t.j2:2:13
      |
    2 |   b {% if x %}
      |  _____________^
    3 | | c
      | |_^
      |
      = note: the step that renders it stands at env/encamp.toml:14:23
    "#);
    assert_snapshot!(template("{{ a | uper }}\n"), @r#"
    error[E0126]: there is no filter `uper`: did you mean `upper`?
     --> env/t.j2:1:8
      |
    1 | {{ a | uper }}
      |        ^^^^
      |
      = note: the step that renders it stands at env/encamp.toml:14:23
    "#);
    assert_snapshot!(template("{% include 'other' %}\n"), @r#"
    error[E0149]: this template cannot be read: unknown statement include
     --> env/t.j2:1:4
      |
    1 | {% include 'other' %}
      |    ^^^^^^^ help: a template is one file, which no other is taken into
      |
      = note: the step that renders it stands at env/encamp.toml:14:23
    "#);
    assert_snapshot!(template("é {{ 'open }}\n"), @r#"
    error[E0149]: this template cannot be read: unexpected end of string
     --> env/t.j2:2:1
      |
    2 |
      | ^
      |
      = note: the step that renders it stands at env/encamp.toml:14:23
    "#);
}

#[test]
fn names_in_templates() {
    assert_snapshot!(template("x\n{{ machines.bd.endpoint('pg') }} {{ machines.db.endpoint('gp') }}\n{{ inputs.m }} {{ me.nam }} {{ stage }}\n"), @r#"
    error[E0120]: no machine is called `bd`
     --> env/t.j2:2:13
      |
    2 | {{ machines.bd.endpoint('pg') }} {{ machines.db.endpoint('gp') }}
      |             ^^ help: did you mean `db`?
    error[E0123]: `db` declares no port `gp`
     --> env/t.j2:2:58
      |
    2 | {{ machines.bd.endpoint('pg') }} {{ machines.db.endpoint('gp') }}
      |                                                          ^^^^ help: did you mean `pg`?
    error[E0121]: no input is called `m`
     --> env/t.j2:3:11
      |
    3 | {{ inputs.m }} {{ me.nam }} {{ stage }}
      |           ^ help: declare it: `[inputs]` `m = { default = … }`
    error[E0126]: a machine has no `nam`
     --> env/t.j2:3:22
      |
    3 | {{ inputs.m }} {{ me.nam }} {{ stage }}
      |                      ^^^ help: did you mean `name`?
    error[E0122]: `stage` is known only in the tasks of a stage
     --> env/t.j2:3:32
      |
    3 | {{ inputs.m }} {{ me.nam }} {{ stage }}
      |                                ^^^^^
    "#);
    assert_snapshot!(template("{% for x in [1, 2] %}\n{{ y }}\n{% endfor %}"), @r#"
    error[E0122]: `y` is undefined
     --> env/t.j2:2:4
      |
    2 | {{ y }}
      |    ^
      |
      = note: the step that renders it stands at env/encamp.toml:14:23
      = help: a template knows inputs machines me secret stage, and the `vars` of its step
    "#);
    assert_snapshot!(template("{{ secret('tokn') }} {{ machines.db.outputs.x }}"), @r#"
    error[E0129]: no secret is called `tokn`
     --> env/t.j2:1:11
      |
    1 | {{ secret('tokn') }} {{ machines.db.outputs.x }}
      |           ^^^^^^ help: did you mean `token`?
    error[E0128]: no step of `db` has the output `x`
     --> env/t.j2:1:45
      |
    1 | {{ secret('tokn') }} {{ machines.db.outputs.x }}
      |                                             ^ help: a step of its set-up gives one: `output = "x"`
    "#);
    assert_snapshot!(template("{% for m in machines.web %}{{ m.endpoint('htp') }}{% endfor %}"), @r#"
    error[E0123]: `web` declares no port `htp`
     --> env/t.j2:1:31
      |
    1 | {% for m in machines.web %}{{ m.endpoint('htp') }}{% endfor %}
      |                               ^^^^^^^^^^^^^^^^^ help: did you mean `http`?
    "#);
}

#[test]
fn a_template_of_what_is_not_there_yet() {
    assert_snapshot!(template("first line\nlisten {{ me.address }};\n"), @r#"
    error[E0131]: `web` would have to run before it is made: this is known only then
     --> env/t.j2:2:11
      |
    2 | listen {{ me.address }};
      |           ^^
      |
      = help: names, `index`, `port('…')` and, within its own group, `endpoint('…')` are known from the start
    "#);
}

#[test]
fn a_template_that_costs_too_much() {
    assert_snapshot!(template("{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}"), @r#"
    error[E0115]: this template takes too much work
     --> env/t.j2:1:1
      |
    1 | {% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = note: the step that renders it stands at env/encamp.toml:14:23
    "#);
}

#[test]
fn variables_of_templates() {
    assert_snapshot!(setup("template = 'conf/plain.j2', to = '/t', vars = { me = 1, 'a-b' = 2 }"), @r#"
    error[E0111]: `me` is known to every template already
      --> env/encamp.toml:14:60
       |
    14 | setup = [{ template = 'conf/plain.j2', to = '/t', vars = { me = 1, 'a-b' = 2 } }]
       |                                                            ^^ call it something else
    error[E0106]: `a-b` cannot be the name of a variable
      --> env/encamp.toml:14:68
       |
    14 | setup = [{ template = 'conf/plain.j2', to = '/t', vars = { me = 1, 'a-b' = 2 } }]
       |                                                                    ^^^^^
       |
       = note: it begins with a letter or _ and goes on with letters, digits and _
    "#);
    assert_snapshot!(setup("template = 'conf/plain.j2', to = '/t', vars = ['a']"), @r#"
    error[E0107]: expected a table, found a list
      --> env/encamp.toml:14:58
       |
    14 | setup = [{ template = 'conf/plain.j2', to = '/t', vars = ['a'] }]
       |                                                          ^^^^^ help: vars = { name = "value" }
    "#);
}

#[test]
fn a_circle_through_a_template() {
    let mut memory = Memory::new(
        "name = 'x'\n[machines.a]\nprovider = 'lab'\nports = { p = 1 }\nsetup = [{ template = 't.j2', to = '/t' }]\n\
         [machines.b]\nprovider = 'lab'\nports = { p = 1 }\nenv = { A = \"{{ machines.a.url('p') }}\" }\n",
    );
    memory.put("t.j2", "{% for m in [machines.b] %}{{ m.endpoint('p') }}{% endfor %}");
    assert_snapshot!(refused(load_from(&memory, |_| {})), @r#"
    error[E0131]: machines wait for each other: `a` waits for `b`, which waits for `a`
     --> env/encamp.toml:5:23
      |
    5 | setup = [{ template = 't.j2', to = '/t' }]
      |                       ^^^^^^ `a` waits for `b`
    ...
    9 | env = { A = "{{ machines.a.url('p') }}" }
      |                 ------------------- `b` waits for `a`
      |
      = help: what is known from the start makes no dependency: the name itself (`b:…`), `machines['b'].name`, `machines['b'].port('…')`
    "#);
}

#[test]
fn values_of_inputs_from_a_file() {
    let mut memory =
        Memory::new("name = 'x'\n[inputs]\nnodes = { default = 1 }\nsize = { default = 's', choices = ['s', 'm'] }\n");
    memory.put("values.toml", "nodes = 'two'\nsiez = 'm'\nsize = 'l'\n");
    assert_snapshot!(refused(load_from(&memory, |load| load.inputs = Some(Path::new("env/values.toml")))), @r#"
    error[E0132]: the input `nodes`: expected a whole number, found a string
     --> env/values.toml:1:9
      |
    1 | nodes = 'two'
      |         ^^^^^
    error[E0121]: no input is called `siez`
     --> env/values.toml:2:1
      |
    2 | siez = 'm'
      | ^^^^ help: did you mean `size`?
    error[E0132]: "l" is none of the choices of the input `size`
     --> env/values.toml:3:8
      |
    3 | size = 'l'
      |        ^^^
      |
      = note: choices: "s" "m"
    "#);
    assert_snapshot!(refused(load_from(&memory, |load| load.inputs = Some(Path::new("env/absent.toml")))), @r#"error[E0100]: the inputs env/absent.toml cannot be read: entity not found"#);
}
