//! Set-up, services and probes that are wrong, and what is said of them.

use insta::assert_snapshot;

use crate::fake::{wrong, wrong_with};

/// A file with these lines in `[machines.web]` and these secrets.
pub(crate) fn web(lines: &str) -> String {
    wrong(&format!(
        "name = \"shop\"\n[secrets]\ntoken = {{ variable = \"TOKEN\" }}\n[machines.web]\nprovider = \"docker\"\ncount = 2\n\
         docker.image = \"a\"\nports = {{ http = 80 }}\n{lines}\n"
    ))
}

pub(crate) fn setup(step: &str) -> String {
    web(&format!("setup = [{{ {step} }}]"))
}

#[test]
fn a_step_does_exactly_one_thing() {
    assert_snapshot!(setup("run = 'a', copy = 'site', to = '/b'"), @r#"
    error[E0142]: a step does one thing, and this one has `run` and `copy`
     --> env/encamp.toml:9:23
      |
    9 | setup = [{ run = 'a', copy = 'site', to = '/b' }]
      |            ---        ^^^^ make it a step of its own
      |            |
      |            the first
    "#);
    assert_snapshot!(setup("timeout = '5s'"), @r#"
    error[E0142]: a step says what is done, and this one does not
     --> env/encamp.toml:9:10
      |
    9 | setup = [{ timeout = '5s' }]
      |          ^^^^^^^^^^^^^^^^^^ help: one of run script copy template fetch sync
    "#);
    assert_snapshot!(setup("runs = 'a'"), @r#"
    error[E0103]: unknown key `runs`
     --> env/encamp.toml:9:12
      |
    9 | setup = [{ runs = 'a' }]
      |            ^^^^ help: a key with a similar name: `run`
    "#);
    assert_snapshot!(web("setup = { run = 'a' }"), @r#"
    error[E0107]: expected a list of steps, found a table
     --> env/encamp.toml:9:9
      |
    9 | setup = { run = 'a' }
      |         ^^^^^^^^^^^^^ help: [{ run = 'a' }]
    "#);
}

#[test]
fn keys_belong_to_what_is_done() {
    assert_snapshot!(setup("run = 'a', to = '/b', mode = '0644', tiemout = '5s'"), @r#"
    error[E0103]: `to` belongs to a step with `copy`, `template`, `fetch` or `sync`
     --> env/encamp.toml:9:23
      |
    9 | setup = [{ run = 'a', to = '/b', mode = '0644', tiemout = '5s' }]
      |                       ^^
    error[E0103]: `mode` belongs to a step with `copy`, `template` or `fetch`
     --> env/encamp.toml:9:34
      |
    9 | setup = [{ run = 'a', to = '/b', mode = '0644', tiemout = '5s' }]
      |                                  ^^^^
    error[E0103]: unknown key `tiemout`
     --> env/encamp.toml:9:49
      |
    9 | setup = [{ run = 'a', to = '/b', mode = '0644', tiemout = '5s' }]
      |                                                 ^^^^^^^ help: a key with a similar name: `timeout`
      |
      = note: keys of a step with `run`: run env cwd user output after timeout raw
    "#);
    assert_snapshot!(setup("copy = 'site', to = '/b', env = { A = 'b' }, output = 'x'"), @r#"
    error[E0103]: `env` belongs to a step with `run` or `script`
     --> env/encamp.toml:9:38
      |
    9 | setup = [{ copy = 'site', to = '/b', env = { A = 'b' }, output = 'x' }]
      |                                      ^^^
    error[E0103]: `output` belongs to a step with `run` or `script`
     --> env/encamp.toml:9:57
      |
    9 | setup = [{ copy = 'site', to = '/b', env = { A = 'b' }, output = 'x' }]
      |                                                         ^^^^^^
    "#);
    assert_snapshot!(setup("copy = 'site'"), @r#"
    error[E0104]: a step with `copy` has no `to`
     --> env/encamp.toml:9:19
      |
    9 | setup = [{ copy = 'site' }]
      |                   ^^^^^^ help: add `to = "/srv/site"`
    "#);
}

#[test]
fn what_comes_later_says_so() {
    assert_snapshot!(setup("ansible = 'play.yml'"), @r#"
    error[E0146]: `ansible` comes with a later version
     --> env/encamp.toml:9:12
      |
    9 | setup = [{ ansible = 'play.yml' }]
      |            ^^^^^^^ help: until then: `run`
    "#);
    assert_snapshot!(web("near = 'db'"), @r#"
    error[E0146]: `near` comes with a later version
     --> env/encamp.toml:9:1
      |
    9 | near = 'db'
      | ^^^^
    "#);
    assert_snapshot!(wrong("name = 'x'\ninclude = ['other.toml']\n"), @r#"
    error[E0146]: `include` comes with a later version
     --> env/encamp.toml:2:1
      |
    2 | include = ['other.toml']
      | ^^^^^^^
    "#);
}

#[test]
fn paths_and_modes_and_owners() {
    assert_snapshot!(setup("copy = 'site', to = 'srv/site', mode = 644, owner = 'a b'"), @r#"
    error[E0109]: a path on a machine begins with `/`
     --> env/encamp.toml:9:32
      |
    9 | setup = [{ copy = 'site', to = 'srv/site', mode = 644, owner = 'a b' }]
      |                                ^^^^^^^^^^ help: "/srv/site"
    error[E0107]: `644` is a decimal number, and modes are octal
     --> env/encamp.toml:9:51
      |
    9 | setup = [{ copy = 'site', to = 'srv/site', mode = 644, owner = 'a b' }]
      |                                                   ^^^ help: "0644"
    error[E0109]: `a b` is no owner
     --> env/encamp.toml:9:64
      |
    9 | setup = [{ copy = 'site', to = 'srv/site', mode = 644, owner = 'a b' }]
      |                                                                ^^^^^ help: a user, or a user and a group: `www`, `www:www`, `1000:1000`
    "#);
    assert_snapshot!(setup("copy = 'site', to = '/srv', mode = '0999', owner = 'a:b:c'"), @r#"
    error[E0109]: `0999` is no mode
     --> env/encamp.toml:9:47
      |
    9 | setup = [{ copy = 'site', to = '/srv', mode = '0999', owner = 'a:b:c' }]
      |                                               ^^^^^^ help: octal digits: "0644", "0755"
    error[E0109]: `a:b:c` is no owner
     --> env/encamp.toml:9:63
      |
    9 | setup = [{ copy = 'site', to = '/srv', mode = '0999', owner = 'a:b:c' }]
      |                                                               ^^^^^^^ help: a user, or a user and a group: `www`, `www:www`, `1000:1000`
    "#);
    assert_snapshot!(setup("run = 'a', after = 'redy', timeout = 5"), @r#"
    error[E0109]: a step comes after `ready`, not after `redy`
     --> env/encamp.toml:9:31
      |
    9 | setup = [{ run = 'a', after = 'redy', timeout = 5 }]
      |                               ^^^^^^ help: after = "ready"; steps are done in the order of the list
    error[E0108]: a duration needs a unit
     --> env/encamp.toml:9:49
      |
    9 | setup = [{ run = 'a', after = 'redy', timeout = 5 }]
      |                                                 ^ help: write "5s"
    "#);
}

#[test]
fn a_fetch_needs_an_address_and_a_hash() {
    assert_snapshot!(setup("fetch = 'data.tar.gz', to = '/data'"), @r#"
    error[E0104]: a step with `fetch` has no `sha256`
     --> env/encamp.toml:9:20
      |
    9 | setup = [{ fetch = 'data.tar.gz', to = '/data' }]
      |                    ^^^^^^^^^^^^^ help: add `sha256 = "…"`
    error[E0109]: `fetch` takes an address that begins with `https://` or `http://`
     --> env/encamp.toml:9:20
      |
    9 | setup = [{ fetch = 'data.tar.gz', to = '/data' }]
      |                    ^^^^^^^^^^^^^ help: a file beside this one is brought by `copy`
    "#);
    assert_snapshot!(setup("fetch = 'https://x.org/a', to = '/data', sha256 = 'abc', unpack = 'yes'"), @r#"
    error[E0109]: `abc` is no SHA-256: that is 64 hex digits
     --> env/encamp.toml:9:62
      |
    9 | setup = [{ fetch = 'https://x.org/a', to = '/data', sha256 = 'abc', unpack = 'yes' }]
      |                                                              ^^^^^ help: what `sha256sum FILE` prints first
    error[E0107]: expected a boolean, found a string
     --> env/encamp.toml:9:78
      |
    9 | setup = [{ fetch = 'https://x.org/a', to = '/data', sha256 = 'abc', unpack = 'yes' }]
      |                                                                              ^^^^^ help: `true` or `false`
    "#);
}

#[test]
fn outputs_have_names_of_their_own() {
    assert_snapshot!(web("setup = [{ run = 'a', output = 'x' }, { run = 'b', output = 'x' }, { run = 'c', output = 'X Y' }]"), @r#"
    error[E0111]: two steps have the output `x`
     --> env/encamp.toml:9:61
      |
    9 | setup = [{ run = 'a', output = 'x' }, { run = 'b', output = 'x' }, { run = 'c', output = 'X Y' }]
      |                                --- the first                ^^^ again here
    error[E0106]: `X Y` is no name
     --> env/encamp.toml:9:90
      |
    9 | setup = [{ run = 'a', output = 'x' }, { run = 'b', output = 'x' }, { run = 'c', output = 'X Y' }]
      |                                                                                          ^^^^^ help: `x-y`
      |
      = note: a name begins with a-z, goes on with a-z, 0-9 and -, and has at most 40 characters
    "#);
}

#[test]
fn outputs_that_nobody_gives() {
    assert_snapshot!(wrong("name = 'x'\n[machines.a]\nprovider = 'lab'\nsetup = [{ run = 'x', output = 'token' }]\n\
        [machines.b]\nprovider = 'lab'\nenv = { A = '{{ machines.a.outputs.tokn }}', B = '{{ machines.a.outputs }}', C = '{{ machines.b.outputs.x }}' }\n"), @r#"
    error[E0128]: no step of `a` has the output `tokn`
     --> env/encamp.toml:7:36
      |
    7 | env = { A = '{{ machines.a.outputs.tokn }}', B = '{{ machines.a.outputs }}', C = '{{ machines.b.outputs.x }}' }
      |                                    ^^^^ help: did you mean `token`?
    error[E0128]: `outputs` needs a name
     --> env/encamp.toml:7:65
      |
    7 | env = { A = '{{ machines.a.outputs.tokn }}', B = '{{ machines.a.outputs }}', C = '{{ machines.b.outputs.x }}' }
      |                                                                 ^^^^^^^ help: write `outputs.NAME`, the name of a step's `output`
    error[E0128]: no step of `b` has the output `x`
     --> env/encamp.toml:7:105
      |
    7 | env = { A = '{{ machines.a.outputs.tokn }}', B = '{{ machines.a.outputs }}', C = '{{ machines.b.outputs.x }}' }
      |                                                                                                         ^ help: a step of its set-up gives one: `output = "x"`
    "#);
}

#[test]
fn an_own_output_is_known_too_late() {
    assert_snapshot!(wrong("name = 'x'\n[machines.a]\nprovider = 'lab'\nsetup = [{ run = 'x', output = 'token' }]\n\
        env = { A = '{{ me.outputs.token }}' }\n"), @r#"
    error[E0131]: `a` would have to run before it is made: this is known only then
     --> env/encamp.toml:5:17
      |
    5 | env = { A = '{{ me.outputs.token }}' }
      |                 ^^^^^^^^^^^^^^^^
      |
      = help: names, `index`, `port('…')` and, within its own group, `endpoint('…')` are known from the start
    "#);
}

#[test]
fn services() {
    assert_snapshot!(web("services.Pg = { run = 'a' }\nservices.a = 'serve'\nservices.b = { restart = true }\nservices.c = { run = 'x', restart = 'always', port = 1 }"), @r#"
    error[E0106]: `Pg` is no name
     --> env/encamp.toml:9:10
      |
    9 | services.Pg = { run = 'a' }
      |          ^^ help: `pg`
      |
      = note: a name begins with a-z, goes on with a-z, 0-9 and -, and has at most 40 characters
    error[E0107]: expected a table, found a string
      --> env/encamp.toml:10:14
       |
    10 | services.a = 'serve'
       |              ^^^^^^^ help: { run = 'serve' }
    error[E0104]: the service `b` has no `run`
      --> env/encamp.toml:11:10
       |
    11 | services.b = { restart = true }
       |          ^ help: add `run = "…"`
    error[E0107]: expected a string, found a boolean
      --> env/encamp.toml:11:26
       |
    11 | services.b = { restart = true }
       |                          ^^^^ help: "on-failure"
    error[E0109]: a service is not restarted `always`
      --> env/encamp.toml:12:37
       |
    12 | services.c = { run = 'x', restart = 'always', port = 1 }
       |                                     ^^^^^^^^ help: "no" or "on-failure"
    error[E0103]: unknown key `port`
      --> env/encamp.toml:12:47
       |
    12 | services.c = { run = 'x', restart = 'always', port = 1 }
       |                                               ^^^^
       |
       = note: keys of a service: run env cwd user restart raw
    "#);
}

#[test]
fn probes() {
    assert_snapshot!(web("ready = [{ log = 'a(' }, { log = '' }, { file = 'ready' }, { healthcheck = false }]"), @r#"
    error[E0148]: `a(` is no regular expression: unclosed group
     --> env/encamp.toml:9:18
      |
    9 | ready = [{ log = 'a(' }, { log = '' }, { file = 'ready' }, { healthcheck = false }]
      |                  ^^^^
    error[E0109]: every line matches this pattern
     --> env/encamp.toml:9:34
      |
    9 | ready = [{ log = 'a(' }, { log = '' }, { file = 'ready' }, { healthcheck = false }]
      |                                  ^^
    error[E0109]: a path on a machine begins with `/`
     --> env/encamp.toml:9:49
      |
    9 | ready = [{ log = 'a(' }, { log = '' }, { file = 'ready' }, { healthcheck = false }]
      |                                                 ^^^^^^^ help: "/ready"
    error[E0109]: there is nothing to wait for here
     --> env/encamp.toml:9:76
      |
    9 | ready = [{ log = 'a(' }, { log = '' }, { file = 'ready' }, { healthcheck = false }]
      |                                                                            ^^^^^ help: `healthcheck = true`, or drop the probe
    "#);
    assert_snapshot!(web("ready = [{ ssh = false }, { cloud_init = 1 }]"), @r#"
    error[E0109]: there is nothing to wait for here
     --> env/encamp.toml:9:18
      |
    9 | ready = [{ ssh = false }, { cloud_init = 1 }]
      |                  ^^^^^ help: `ssh = true`, or drop the probe
    error[E0107]: expected a boolean, found a whole number
     --> env/encamp.toml:9:42
      |
    9 | ready = [{ ssh = false }, { cloud_init = 1 }]
      |                                          ^ help: `true` or `false`
    "#);
    assert_snapshot!(web("ready = [{ tcp = 'http', json = { a = 1 } }, { http = 'http', of = 'groop' }, { run = 'a', stable = '2m', within = '1m' }]"), @r#"
    error[E0103]: `json` belongs to a probe with `http`
     --> env/encamp.toml:9:26
      |
    9 | ready = [{ tcp = 'http', json = { a = 1 } }, { http = 'http', of = 'groop' }, { run = 'a', stable = '2m', within = '1m' }]
      |                          ^^^^
    error[E0109]: a probe is of a machine or of its group, not of `groop`
     --> env/encamp.toml:9:68
      |
    9 | ready = [{ tcp = 'http', json = { a = 1 } }, { http = 'http', of = 'groop' }, { run = 'a', stable = '2m', within = '1m' }]
      |                                                                    ^^^^^^^ help: did you mean `group`?
    error[E0109]: it cannot have held for 120s within 60s
     --> env/encamp.toml:9:101
      |
    9 | ready = [{ tcp = 'http', json = { a = 1 } }, { http = 'http', of = 'groop' }, { run = 'a', stable = '2m', within = '1m' }]
      |                                                                                                     ^^^^ help: a longer `within`, or a shorter `stable`
    "#);
    assert_snapshot!(wrong("name = 'x'\n[machines.a]\nprovider = 'lab'\nserial = true\nports = { p = 1 }\nready = [{ tcp = 'p', of = 'group' }, { http = 'p', json = { a = '{{ machines.b.address }}' } }]\n[machines.b]\nprovider = 'lab'\n"), @r#"
    error[E0109]: one machine alone is always first and last
     --> env/encamp.toml:4:10
      |
    4 | serial = true
      |          ^^^^ help: `serial` belongs to a machine with a `count`
    error[E0109]: `a` is in no group
     --> env/encamp.toml:6:28
      |
    6 | ready = [{ tcp = 'p', of = 'group' }, { http = 'p', json = { a = '{{ machines.b.address }}' } }]
      |                            ^^^^^^^ help: only machines with a `count` are
    error[E0130]: this has to be known before anything is created
     --> env/encamp.toml:6:66
      |
    6 | ready = [{ tcp = 'p', of = 'group' }, { http = 'p', json = { a = '{{ machines.b.address }}' } }]
      |                                                                  ^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn inputs_from_nowhere() {
    assert_snapshot!(wrong_with("name = 'x'\n[inputs]\na = { default = 1 }\n", &[("b", "2")]), @r#"
    error[E0121]: --set b: no input is called `b`
     |
     = help: inputs: a
    "#);
}
