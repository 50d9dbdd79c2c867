//! Expressions that are wrong: names that nobody has, values that are not there yet, text that cannot be read.

use insta::assert_snapshot;

use crate::fake::wrong;

const HEAD: &str = "name = \"shop\"\n[machines.db]\nprovider = \"lab\"\nports = { pg = 5432 }\n";

fn web(lines: &str) -> String {
    wrong(&format!("{HEAD}[machines.web]\nprovider = \"docker\"\n{lines}\n"))
}

#[test]
fn unknown_machines() {
    assert_snapshot!(web("docker.image = \"a\"\ndepends_on = [\"bd\"]\nenv = { R = \"redis://{{ machines.dv.endpoint('redis') }}\" }"), @r#"
    error[E0120]: no machine is called `bd`
     --> env/encamp.toml:8:15
      |
    8 | depends_on = ["bd"]
      |               ^^^^ help: did you mean `db`?
    error[E0120]: no machine is called `dv`
     --> env/encamp.toml:9:34
      |
    9 | env = { R = "redis://{{ machines.dv.endpoint('redis') }}" }
      |                                  ^^ help: did you mean `db`?
    "#);
}

#[test]
fn unknown_inputs_and_names() {
    assert_snapshot!(wrong("name = \"x\"\n[inputs]\nversion = { default = \"1\" }\n[machines.my-db]\nprovider = \"lab\"\nenv = { A = \"{{ inputs.verison }}\", B = \"{{ version }}\", C = \"{{ machines.my-db.name }}\", D = \"é{{ secret('x') }}\", E = \"{{ 1 | uper }}\" }\n"), @r#"
    error[E0121]: no input is called `verison`
     --> env/encamp.toml:6:24
      |
    6 | env = { A = "{{ inputs.verison }}", B = "{{ version }}", C = "{{ machines.my-db.name }}", D = "é{{ secret('x') }}", E = "{{ 1 | uper ...
      |                        ^^^^^^^ help: did you mean `version`?
    error[E0122]: nothing is called `version` here
     --> env/encamp.toml:6:45
      |
    6 | env = { A = "{{ inputs.verison }}", B = "{{ version }}", C = "{{ machines.my-db.name }}", D = "é{{ secret('x') }}", E = "{{ 1 | uper ...
      |                                             ^^^^^^^ help: write `inputs.version`
    error[E0122]: `-` is a minus in an expression, so `my-db` has to be quoted
     --> env/encamp.toml:6:75
      |
    6 | env = { A = "{{ inputs.verison }}", B = "{{ version }}", C = "{{ machines.my-db.name }}", D = "é{{ secret('x') }}", E = "{{ 1 | uper ...
      |                                                                           ^^^^^ help: write `machines['my-db']`
    error[E0129]: no secret is called `x`
     --> env/encamp.toml:6:107
      |
    6 | ...nes.my-db.name }}", D = "é{{ secret('x') }}", E = "{{ 1 | uper }}" }
      |                                        ^^^ help: declare it: `[secrets]` `x = { variable = "…" }`
    error[E0126]: there is no filter `uper`: did you mean `upper`?
     --> env/encamp.toml:6:129
      |
    6 | ...machines.my-db.name }}", D = "é{{ secret('x') }}", E = "{{ 1 | uper }}" }
      |                                                                   ^^^^
    "#);
}

#[test]
fn places_behind_escapes() {
    assert_snapshot!(wrong("name = \"x\"\n[machines.a]\nprovider = \"lab\"\nenv.A = \"\\t\\u00e4 \\\"q\\\" {{ inputs.no }}\"\nenv.B = \"\"\"\nline\n  {{ inputs.nope }}\"\"\"\n"), @r#"
    error[E0121]: no input is called `no`
     --> env/encamp.toml:4:35
      |
    4 | env.A = "\t\u00e4 \"q\" {{ inputs.no }}"
      |                                   ^^ help: declare it: `[inputs]` `no = { default = … }`
    error[E0121]: no input is called `nope`
     --> env/encamp.toml:7:13
      |
    7 |   {{ inputs.nope }}"""
      |             ^^^^ help: declare it: `[inputs]` `nope = { default = … }`
    "#);
}

#[test]
fn ports_and_attributes() {
    assert_snapshot!(web("docker.image = \"a\"\ncount = 2\nready = [{ tcp = \"htpp\" }, { tcp = 80 }]\nports = { http = 80, dns = { port = 53, protocol = \"udp\" } }\nenv = { A = \"{{ machines.db.endpoint('gp') }}\", B = \"{{ machines.db.endpoint }}\", C = \"{{ machines.db[0].name }}\", D = \"{{ machines.web[2].name }}\", E = \"{{ machines.db.adress }}\", F = \"{{ machines.web.endpont('http') }}\", G = \"{{ machines.db }}\" }"), @r#"
    error[E0123]: `web` declares no port `htpp`
     --> env/encamp.toml:9:18
      |
    9 | ready = [{ tcp = "htpp" }, { tcp = 80 }]
      |                  ^^^^^^ help: did you mean `http`?
    error[E0107]: expected the name of a port, found its number
     --> env/encamp.toml:9:36
      |
    9 | ready = [{ tcp = "htpp" }, { tcp = 80 }]
      |                                    ^^ help: "http"
    error[E0123]: `db` declares no port `gp`
      --> env/encamp.toml:11:38
       |
    11 | env = { A = "{{ machines.db.endpoint('gp') }}", B = "{{ machines.db.endpoint }}", C = "{{ machines.db[0].name }}", D = "{{ machines....
       |                                      ^^^^ help: did you mean `pg`?
    error[E0123]: `endpoint` needs the name of a port
      --> env/encamp.toml:11:69
       |
    11 | env = { A = "{{ machines.db.endpoint('gp') }}", B = "{{ machines.db.endpoint }}", C = "{{ machines.db[0].name }}", D = "{{ machines....
       |                                                                     ^^^^^^^^ help: write `endpoint('…')`
    error[E0127]: `db` is one machine, not a group
      --> env/encamp.toml:11:103
       |
    11 | ...dpoint }}", C = "{{ machines.db[0].name }}", D = "{{ machines.web[2].name }}", E = "{{ machines.db.adress }}", F = "{{ machines.w...
       |                                    ^ help: without `[…]`; with `count`, even 1, it would be a group
    error[E0127]: the group `web` has no member 2
      --> env/encamp.toml:11:137
       |
    11 | ...{{ machines.db[0].name }}", D = "{{ machines.web[2].name }}", E = "{{ machines.db.adress }}", F = "{{ machines.web.endpont('http'...
       |                                                     ^ help: its members are 0 to 1
    error[E0126]: a machine has no `adress`
      --> env/encamp.toml:11:170
       |
    11 | ...machines.web[2].name }}", E = "{{ machines.db.adress }}", F = "{{ machines.web.endpont('http') }}", G = "{{ machines.db }}" }
       |                                                  ^^^^^^ help: did you mean `address`?
    error[E0126]: the group `web` has no `endpont`
      --> env/encamp.toml:11:203
       |
    11 | ...machines.db.adress }}", F = "{{ machines.web.endpont('http') }}", G = "{{ machines.db }}" }
       |                                                 ^^^^^^^ help: did you mean `endpoint`?
    error[E0114]: the value is a machine, not a text
      --> env/encamp.toml:11:232
       |
    11 | ...endpont('http') }}", G = "{{ machines.db }}" }
       |                                 ^^^^^^^^^^^ help: say what of it: `.name`, `.endpoint('…')`, `.address`
    "#);
}

#[test]
fn me_where_there_is_none() {
    assert_snapshot!(wrong(&format!("{HEAD}env = {{ A = \"{{{{ me.index }}}}\" }}\n[[stages]]\nname = \"t\"\ntasks = [{{ name = \"a\", on = \"controler\", run = \"x\" }}, {{ name = \"b\", on = \"controller\", run = \"{{{{ me.name }}}}\" }}]\n[outputs]\no = \"{{{{ me.name }}}} {{{{ stage }}}}\"\n")), @r#"
    error[E0124]: `db` is in no group and has no index
     --> env/encamp.toml:5:20
      |
    5 | env = { A = "{{ me.index }}" }
      |                    ^^^^^ help: only machines with a `count` have one
    error[E0120]: no machine is called `controler`
     --> env/encamp.toml:8:29
      |
    8 | tasks = [{ name = "a", on = "controler", run = "x" }, { name = "b", on = "controller", run = "{{ me.name }}" }]
      |                             ^^^^^^^^^^^ help: did you mean `controller`?
    error[E0124]: `me` is a machine, and the controller is none
     --> env/encamp.toml:8:98
      |
    8 | tasks = [{ name = "a", on = "controler", run = "x" }, { name = "b", on = "controller", run = "{{ me.name }}" }]
      |                                                                                                  ^^ help: name the machine: `machines.…`
    error[E0124]: `me` is a machine, and the controller is none
      --> env/encamp.toml:10:9
       |
    10 | o = "{{ me.name }} {{ stage }}"
       |         ^^ help: name the machine: `machines.…`
    error[E0122]: `stage` is known only in the tasks of a stage
      --> env/encamp.toml:10:23
       |
    10 | o = "{{ me.name }} {{ stage }}"
       |                       ^^^^^
    "#);
}

#[test]
fn what_the_controller_cannot_dial() {
    assert_snapshot!(wrong("name = \"x\"\n[machines.a]\nprovider = \"lab\"\ncount = 2\nports = { a = { port = 1, publish = false }, u = { port = 2, protocol = \"udp\" }, c = 3 }\n[outputs]\na = \"{{ machines.a[0].endpoint('a') }}\"\nu = \"{{ machines.a[0].url('u') }}\"\nc = \"{{ machines.a.endpoint('c') }}\"\n"), @r#"
    error[E0125]: port `a` of `a-0` cannot be dialled from the controller: it has `publish = false`
     --> env/encamp.toml:7:23
      |
    7 | a = "{{ machines.a[0].endpoint('a') }}"
      |                       ^^^^^^^^ help: drop `publish`, or ask from a machine
    error[E0125]: port `u` of `a-0` cannot be dialled from the controller: it is a udp port
     --> env/encamp.toml:8:23
      |
    8 | u = "{{ machines.a[0].url('u') }}"
      |                       ^^^ help: ask from a machine
    error[E0125]: port `c` of `a` cannot be dialled from the controller: it is a group
     --> env/encamp.toml:9:20
      |
    9 | c = "{{ machines.a.endpoint('c') }}"
      |                    ^^^^^^^^ help: name a member: `machines['a'][0]`
    "#);
}

#[test]
fn values_that_are_too_late() {
    assert_snapshot!(web("docker.image = \"r/{{ machines.db.address }}\"\ndocker.sysctls = { a = \"{{ machines.db.address }}\" }\ncount = \"{{ machines.db.port('pg') }}\"\nready = [{ exited = 0, within = \"{{ machines.db.address }}\" }]"), @r#"
    error[E0130]: `image` of [machines.web.docker] has to be known before anything is created
     --> env/encamp.toml:7:16
      |
    7 | docker.image = "r/{{ machines.db.address }}"
      |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = note: `r/{{ machines.db.address }}` is known only once another machine runs
      = help: names, `port('…')` and, inside the environment, `endpoint('…')` are known from the start
    error[E0130]: `a` of [machines.web.docker] has to be known before anything is created
     --> env/encamp.toml:8:24
      |
    8 | docker.sysctls = { a = "{{ machines.db.address }}" }
      |                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = note: `{{ machines.db.address }}` is known only once another machine runs
      = help: names, `port('…')` and, inside the environment, `endpoint('…')` are known from the start
    error[E0122]: `machines` is not known here, where it is decided which machines there are
     --> env/encamp.toml:9:13
      |
    9 | count = "{{ machines.db.port('pg') }}"
      |             ^^^^^^^^ help: only `inputs` is known here
    error[E0130]: this has to be known before anything is created
      --> env/encamp.toml:10:37
       |
    10 | ready = [{ exited = 0, within = "{{ machines.db.address }}" }]
       |                                     ^^^^^^^^^^^^^^^^^^^
       |
       = note: the value of `{{ machines.db.address }}` decides what is done, not what is passed on
    "#);
}

#[test]
fn cycles() {
    assert_snapshot!(wrong("name = \"x\"\n[machines.a]\nprovider = \"lab\"\nports = { p = 1 }\nenv = { B = \"{{ machines.b.endpoint('p') }}\" }\n[machines.b]\nprovider = \"lab\"\nports = { p = 1 }\ndepends_on = [\"c\"]\n[machines.c]\nprovider = \"lab\"\nenv = { A = \"{{ machines.a.host() }}\" }\n"), @r#"
    error[E0131]: machines wait for each other: `a` waits for `b`, which waits for `c`, which waits for `a`
      --> env/encamp.toml:5:17
       |
     5 | env = { B = "{{ machines.b.endpoint('p') }}" }
       |                 ^^^^^^^^^^^^^^^^^^^^^^^^ `a` waits for `b`
    ...
     9 | depends_on = ["c"]
       |               --- `b` waits for `c`
    ...
    12 | env = { A = "{{ machines.a.host() }}" }
       |                 ----------------- `c` waits for `a`
       |
       = help: what is known from the start makes no dependency: the name itself (`b:…`), `machines['b'].name`, `machines['b'].port('…')`
    "#);
    assert_snapshot!(wrong("name = \"x\"\n[machines.a]\nprovider = \"lab\"\nenv = { A = \"{{ me.address }}\" }\ndepends_on = [\"a\"]\n"), @r#"
    error[E0131]: `a` would have to run before it is made: this is known only then
     --> env/encamp.toml:4:17
      |
    4 | env = { A = "{{ me.address }}" }
      |                 ^^^^^^^^^^
      |
      = help: names, `index`, `port('…')` and, within its own group, `endpoint('…')` are known from the start
    error[E0131]: `a` cannot wait for itself
     --> env/encamp.toml:5:15
      |
    5 | depends_on = ["a"]
      |               ^^^
    "#);
}

#[test]
fn expressions_that_cannot_be_read() {
    assert_snapshot!(web("docker.image = \"a:{{ inputs. }}\"\nenv = { A = \"{{ 1 +\", B = \"{{}}\", C = \"{{ 'x }}\", D = \"{{ 1 / 0 }}\", E = \"{{ none }}\", F = \"{{ [1] }}\", G = \"{{ 'a' * 99999999 }}\" }"), @r#"
    error[E0113]: this expression cannot be read: unexpected end of input, expected identifier or integer
     --> env/encamp.toml:7:28
      |
    7 | docker.image = "a:{{ inputs. }}"
      |                            ^
    error[E0113]: this expression is not closed by `}}`
     --> env/encamp.toml:8:14
      |
    8 | env = { A = "{{ 1 +", B = "{{}}", C = "{{ 'x }}", D = "{{ 1 / 0 }}", E = "{{ none }}", F = "{{ [1] }}", G = "{{ 'a' * 99999999 }}" }
      |              ^^ help: for the braces themselves write `{{ '{{' }}`
    error[E0113]: this expression is empty
     --> env/encamp.toml:8:28
      |
    8 | env = { A = "{{ 1 +", B = "{{}}", C = "{{ 'x }}", D = "{{ 1 / 0 }}", E = "{{ none }}", F = "{{ [1] }}", G = "{{ 'a' * 99999999 }}" }
      |                            ^^^^
    error[E0113]: this string in an expression is not closed
     --> env/encamp.toml:8:43
      |
    8 | env = { A = "{{ 1 +", B = "{{}}", C = "{{ 'x }}", D = "{{ 1 / 0 }}", E = "{{ none }}", F = "{{ [1] }}", G = "{{ 'a' * 99999999 }}" }
      |                                           ^^^^^ help: for the braces themselves write `{{ '{{' }}`
    error[E0114]: this expression has no value: unable to calculate 1 / 0
     --> env/encamp.toml:8:59
      |
    8 | env = { A = "{{ 1 +", B = "{{}}", C = "{{ 'x }}", D = "{{ 1 / 0 }}", E = "{{ none }}", F = "{{ [1] }}", G = "{{ 'a' * 99999999 }}" }
      |                                                           ^^^^^
    error[E0107]: expected a string, found none
     --> env/encamp.toml:8:78
      |
    8 | env = { A = "{{ 1 +", B = "{{}}", C = "{{ 'x }}", D = "{{ 1 / 0 }}", E = "{{ none }}", F = "{{ [1] }}", G = "{{ 'a' * 99999999 }}" }
      |                                                                              ^^^^ help: give it a default: `… or ''`, `… else ''`
    error[E0107]: expected a string, found a list
     --> env/encamp.toml:8:96
      |
    8 | env = { A = "{{ 1 +", B = "{{}}", C = "{{ 'x }}", D = "{{ 1 / 0 }}", E = "{{ none }}", F = "{{ [1] }}", G = "{{ 'a' * 99999999 }}" }
      |                                                                                                ^^^ help: join it: `… | join(',')`
    error[E0115]: this expression takes too much work
     --> env/encamp.toml:8:113
      |
    8 | env = { A = "{{ 1 +", B = "{{}}", C = "{{ 'x }}", D = "{{ 1 / 0 }}", E = "{{ none }}", F = "{{ [1] }}", G = "{{ 'a' * 99999999 }}" }
      |                                                                                                                 ^^^^^^^^^^^^^^
    "#);
}

#[test]
fn udp_stays_within_one_provider() {
    assert_snapshot!(wrong("name = 'x'\n[machines.stats]\nprovider = 'lab'\nports = { s = { port = 8125, protocol = 'udp' } }\n[machines.web]\nprovider = 'docker'\ndocker.image = 'a'\nenv = { STATS = \"{{ machines.stats.endpoint('s') }}\" }\n"), @r#"
    error[E0125]: `web` cannot reach the udp port `s` of `stats`: no provider may carry both
     --> env/encamp.toml:8:21
      |
    8 | env = { STATS = "{{ machines.stats.endpoint('s') }}" }
      |                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ help: udp stays within one provider: give both the same `provider`
    "#);
}
