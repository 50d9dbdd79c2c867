//! Files that are wrong, and what is said of them.

use insta::assert_snapshot;

use crate::fake::{wrong, wrong_with};

const HEAD: &str = "name = \"shop\"\n[machines.db]\nprovider = \"lab\"\nports = { pg = 5432 }\n";

fn web(lines: &str) -> String {
    wrong(&format!("{HEAD}[machines.web]\nprovider = \"docker\"\n{lines}\n"))
}

#[test]
fn broken_syntax_in_several_places() {
    assert_snapshot!(wrong("name = \"shop\nttl = \"1h\"\n[machines.web\nprovider = [\"a\",\n"), @r#"
    error[E0101]: invalid basic string, expected `"`
     --> env/encamp.toml:1:13
      |
    1 | name = "shop
      |             ^
    error[E0101]: unclosed table, expected `]`
     --> env/encamp.toml:3:14
      |
    3 | [machines.web
      |              ^
    error[E0101]: unclosed array, expected `]`
     --> env/encamp.toml:4:17
      |
    4 | provider = ["a",
      |                 ^
    "#);
}

#[test]
fn one_table_in_two_places() {
    assert_snapshot!(web("docker.image = \"a\"\n[machines.web.docker]\nuser = \"b\""), @r#"
    error[E0102]: the key `docker` is written twice
     --> env/encamp.toml:8:15
      |
    7 | docker.image = "a"
      |        ----- first written here
    8 | [machines.web.docker]
      |               ^^^^^^ again here
      |
      = help: write all keys of `docker` in one of the two places
    "#);
}

#[test]
fn a_key_twice() {
    assert_snapshot!(web("count = 1\ndocker.image = \"a\"\ncount = 2"), @r#"
    error[E0102]: the key `count` is written twice
     --> env/encamp.toml:9:1
      |
    7 | count = 1
      | ----- first written here
    8 | docker.image = "a"
    9 | count = 2
      | ^^^^^ again here
      |
      = help: write all keys of `count` in one of the two places
    "#);
}

#[test]
fn unknown_keys() {
    assert_snapshot!(wrong("nam = \"x\"\nname = \"x\"\n[machine.web]\n"), @r#"
    error[E0103]: unknown key `nam`
     --> env/encamp.toml:1:1
      |
    1 | nam = "x"
      | ^^^ help: a key with a similar name: `name`
      |
      = note: keys of the file: name ttl inputs secrets machines stages outputs
    error[E0103]: unknown key `machine`
     --> env/encamp.toml:3:2
      |
    3 | [machine.web]
      |  ^^^^^^^ help: a key with a similar name: `machines`
      |
      = note: keys of the file: name ttl inputs secrets machines stages outputs
    "#);
    assert_snapshot!(web("docker.imagee = \"a\"\ncuont = 2"), @r#"
    error[E0103]: unknown key `imagee`
     --> env/encamp.toml:7:8
      |
    7 | docker.imagee = "a"
      |        ^^^^^^ help: a key with a similar name: `image`
      |
      = note: keys of [machines.web.docker]: build command cpus image init labels pids pull sysctls tmpfs user
    error[E0103]: unknown key `cuont`
     --> env/encamp.toml:8:1
      |
    8 | cuont = 2
      | ^^^^^ help: a key with a similar name: `count`
      |
      = note: keys of [machines.web]: provider count serial env ports secrets setup services ready needs depends_on docker ssh
    "#);
    assert_snapshot!(web("image = \"a\""), @r#"
    error[E0103]: unknown key `image`
     --> env/encamp.toml:7:1
      |
    7 | image = "a"
      | ^^^^^ help: it is a key of `docker`: write `docker.image`
    "#);
    assert_snapshot!(web("dockr = { image = \"a\" }\nsetup = []"), @r#"
    error[E0103]: unknown key `dockr`
     --> env/encamp.toml:7:1
      |
    7 | dockr = { image = "a" }
      | ^^^^^ help: a key with a similar name: `docker`
      |
      = note: keys of [machines.web]: provider count serial env ports secrets setup services ready needs depends_on docker ssh
    "#);
    assert_snapshot!(web("docker = { image = \"a\", ports = [1], build = { context = \"b\", tagret = \"c\" } }"), @r#"
    error[E0103]: unknown key `ports`
     --> env/encamp.toml:7:25
      |
    7 | docker = { image = "a", ports = [1], build = { context = "b", tagret = "c" } }
      |                         ^^^^^ help: `ports` is the machine's own key: write it beside `docker`
      |
      = note: keys of [machines.web.docker]: build command cpus image init labels pids pull sysctls tmpfs user
    error[E0143]: there is no `b` in the folder of this file
     --> env/encamp.toml:7:58
      |
    7 | docker = { image = "a", ports = [1], build = { context = "b", tagret = "c" } }
      |                                                          ^^^
    error[E0103]: unknown key `tagret`
     --> env/encamp.toml:7:63
      |
    7 | docker = { image = "a", ports = [1], build = { context = "b", tagret = "c" } }
      |                                                               ^^^^^^ help: a key with a similar name: `target`
      |
      = note: keys of [machines.web.docker.build]: context target
    "#);
}

#[test]
fn missing_keys() {
    assert_snapshot!(wrong("[machines.a]\ndocker.user = \"x\"\n[[stages]]\nname = \"t\"\n[[stages.tasks]]\nrun = \"x\"\n"), @r#"
    error[E0104]: the file has no `name`
     --> env/encamp.toml:1:1
      |
    1 | [machines.a]
      | ^ help: add `name = "shop"`
    error[E0104]: `a` has no `provider`
     --> env/encamp.toml:1:11
      |
    1 | [machines.a]
      |           ^ help: add `provider = "docker"`
    error[E0104]: [machines.a.docker] has no `image`
     --> env/encamp.toml:2:1
      |
    2 | docker.user = "x"
      | ^^^^^^ help: add `image = …`
    error[E0104]: this task has no `name`
     --> env/encamp.toml:5:1
      |
    5 | [[stages.tasks]]
      | ^^^^^^^^^^^^^^^^ help: add `name = "test"`
    "#);
}

#[test]
fn a_missing_table() {
    assert_snapshot!(web(""), @r#"
    error[E0105]: `web` may be carried by a `docker`, but says nothing for it
     --> env/encamp.toml:5:11
      |
    5 | [machines.web]
      |           ^^^ help: add `docker.image = …`
    "#);
}

#[test]
fn wrong_types() {
    assert_snapshot!(web("count = \"three\"\ndocker = { image = 7, init = \"true\", tmpfs = \"/x\", command = 1, pids = 70000 }"), @r#"
    error[E0107]: expected a whole number, found a string
     --> env/encamp.toml:7:9
      |
    7 | count = "three"
      |         ^^^^^^^ help: 3, or an expression: "{{ inputs.n }}"
    error[E0107]: expected a string, found a whole number
     --> env/encamp.toml:8:20
      |
    8 | docker = { image = 7, init = "true", tmpfs = "/x", command = 1, pids = 70000 }
      |                    ^ help: "7"
    error[E0107]: expected a boolean, found a string
     --> env/encamp.toml:8:30
      |
    8 | docker = { image = 7, init = "true", tmpfs = "/x", command = 1, pids = 70000 }
      |                              ^^^^^^ help: true
    error[E0107]: expected a list, found a string
     --> env/encamp.toml:8:46
      |
    8 | docker = { image = 7, init = "true", tmpfs = "/x", command = 1, pids = 70000 }
      |                                              ^^^^ help: ["/x"]
    error[E0107]: expected a string or a list, found a whole number
     --> env/encamp.toml:8:62
      |
    8 | docker = { image = 7, init = "true", tmpfs = "/x", command = 1, pids = 70000 }
      |                                                              ^
    error[E0109]: expected at most 65535, found 70000
     --> env/encamp.toml:8:72
      |
    8 | docker = { image = 7, init = "true", tmpfs = "/x", command = 1, pids = 70000 }
      |                                                                        ^^^^^
    "#);
    assert_snapshot!(web("docker = \"nginx\"\nready = { tcp = \"x\" }\nenv = { A = [\"b\"] }"), @r#"
    error[E0107]: expected a table, found a string
     --> env/encamp.toml:7:10
      |
    7 | docker = "nginx"
      |          ^^^^^^^ help: write `docker.image = "nginx"`
    error[E0107]: expected a list of probes, found a table
     --> env/encamp.toml:8:9
      |
    8 | ready = { tcp = "x" }
      |         ^^^^^^^^^^^^^ help: [{ tcp = "x" }]
    error[E0107]: expected a string, a number or a boolean, found a list
     --> env/encamp.toml:9:13
      |
    9 | env = { A = ["b"] }
      |             ^^^^^ help: "value"
    "#);
    assert_snapshot!(web("docker = { image = \"a\", pull = \"alway\", build = 3 }"), @r#"
    error[E0109]: expected `always` or `missing`, found `alway`
     --> env/encamp.toml:7:32
      |
    7 | docker = { image = "a", pull = "alway", build = 3 }
      |                                ^^^^^^^ help: did you mean `always`?
    error[E0107]: expected a string or a table, found a whole number
     --> env/encamp.toml:7:49
      |
    7 | docker = { image = "a", pull = "alway", build = 3 }
      |                                                 ^
    "#);
}

#[test]
fn durations_and_sizes_need_units() {
    assert_snapshot!(wrong("name = \"x\"\nttl = 60\n[machines.a]\nprovider = \"lab\"\nneeds = { memory = 4, disk = \"4 gigs\" }\nready = [{ exited = 0, within = \"5 minutes\" }]\n"), @r#"
    error[E0108]: a duration needs a unit
     --> env/encamp.toml:2:7
      |
    2 | ttl = 60
      |       ^^ help: write "60s"
    error[E0108]: a size needs a unit
     --> env/encamp.toml:5:20
      |
    5 | needs = { memory = 4, disk = "4 gigs" }
      |                    ^ help: write "4MiB" or "4B"
    error[E0108]: `4 gigs` is no size
     --> env/encamp.toml:5:30
      |
    5 | needs = { memory = 4, disk = "4 gigs" }
      |                              ^^^^^^^^ help: like `512MiB`, `2GiB`
    error[E0108]: `5 minutes` is no duration
     --> env/encamp.toml:6:33
      |
    6 | ready = [{ exited = 0, within = "5 minutes" }]
      |                                 ^^^^^^^^^^^ help: like `500ms`, `90s`, `1h30m`
    "#);
}

#[test]
fn names() {
    assert_snapshot!(wrong("name = \"My Shop\"\n[machines.Web_1]\n[machines.controller]\n[machines.x]\nprovider = \"lab\"\ncount = 2\n[machines.x-0]\nprovider = \"lab\"\n"), @r#"
    error[E0106]: `My Shop` is no name
     --> env/encamp.toml:1:8
      |
    1 | name = "My Shop"
      |        ^^^^^^^^^ help: `my-shop`
      |
      = note: a name begins with a-z, goes on with a-z, 0-9 and -, and has at most 40 characters
    error[E0106]: `Web_1` is no name
     --> env/encamp.toml:2:11
      |
    2 | [machines.Web_1]
      |           ^^^^^ help: `web-1`
      |
      = note: a name begins with a-z, goes on with a-z, 0-9 and -, and has at most 40 characters
    error[E0106]: `controller` is where encamp itself runs and cannot be a machine
     --> env/encamp.toml:3:11
      |
    3 | [machines.controller]
      |           ^^^^^^^^^^
    error[E0111]: `x-0` is what a member of the group `x` is called
     --> env/encamp.toml:7:11
      |
    4 | [machines.x]
      |           - the group
    ...
    7 | [machines.x-0]
      |           ^^^ call it something else
    "#);
}

#[test]
fn providers() {
    assert_snapshot!(wrong("name = \"x\"\n[machines.a]\nprovider = \"dokcer\"\n[machines.b]\nprovider = []\n"), @r#"
    error[E0110]: no provider is called `dokcer`
     --> env/encamp.toml:3:12
      |
    3 | provider = "dokcer"
      |            ^^^^^^^^ help: did you mean `docker`?
      |
      = note: providers: docker docker-eu lab
    error[E0109]: `b` has no provider
     --> env/encamp.toml:5:12
      |
    5 | provider = []
      |            ^^ help: name at least one
    "#);
}

#[test]
fn inputs() {
    let text = "name = \"x\"\n[inputs]\na = { help = \"must be given\" }\nb = { default = 1 }\nc = \"1.4\"\nd = { default = \"x\", choices = [\"y\", \"z\"] }\ne = { type = \"integer\", default = \"1\" }\n";
    assert_snapshot!(wrong_with(text, &[("b", "many"), ("f", "1"), ("ttl.x", "1"), ("machines.q.provider", "lab"), ("machines.*.provider", "nix")]), @r#"
    error[E0110]: --set machines.*.provider: no provider is called `nix`
     |
     = help: providers: docker docker-eu lab
    error[E0121]: --set f: no input is called `f`
     |
     = help: inputs: a b c d e
    error[E0133]: --set ttl.x: this cannot be set
     |
     = help: inputs.NAME=VALUE or machines.NAME.provider=PROVIDER
    error[E0133]: --set machines.q.provider: no machine is called `q`
    error[E0132]: the input `a` has no default and was not given
     --> env/encamp.toml:3:1
      |
    3 | a = { help = "must be given" }
      | ^ help: --set inputs.a=…
    error[E0132]: --set b=many: expected a whole number
     --> env/encamp.toml:4:1
      |
    4 | b = { default = 1 }
      | ^ this input
    error[E0107]: expected a table, found a string
     --> env/encamp.toml:5:5
      |
    5 | c = "1.4"
      |     ^^^^^ help: { default = "1.4" }
    error[E0132]: "x" is none of the choices of the input `d`
     --> env/encamp.toml:6:17
      |
    6 | d = { default = "x", choices = ["y", "z"] }
      |                 ^^^
      |
      = note: choices: "y" "z"
    error[E0107]: expected a whole number, found a string
     --> env/encamp.toml:7:35
      |
    7 | e = { type = "integer", default = "1" }
      |                                   ^^^
    "#);
}

#[test]
fn probes() {
    assert_snapshot!(web("docker.image = \"a\"\nports = { http = 80 }\nready = [{}, { tcp = \"http\", run = \"x\" }, { http = \"http\", path = \"x\", status = 7 }, { exited = 1 }, { run = \"\" }, { tcp = \"http\", status = 200 }, { log = \"x\" }]"), @r#"
    error[E0141]: this probe has no condition
     --> env/encamp.toml:9:10
      |
    9 | ready = [{}, { tcp = "http", run = "x" }, { http = "http", path = "x", status = 7 }, { exited = 1 }, { run = "" }, { tcp = "http", st...
      |          ^^
      |
      = help: one of tcp, http, run, log, file, exited, healthcheck, ssh, cloud_init
    error[E0141]: a probe has one condition; all probes must hold
     --> env/encamp.toml:9:30
      |
    9 | ready = [{}, { tcp = "http", run = "x" }, { http = "http", path = "x", status = 7 }, { exited = 1 }, { run = "" }, { tcp = "http", st...
      |                ---           ^^^ make it a probe of its own
      |                |
      |                the first condition
    error[E0109]: a path begins with `/`
     --> env/encamp.toml:9:67
      |
    9 | ready = [{}, { tcp = "http", run = "x" }, { http = "http", path = "x", status = 7 }, { exited = 1 }, { run = "" }, { tcp = "http", st...
      |                                                                   ^^^ help: "/x"
    error[E0109]: 7 is not between 100 and 599
     --> env/encamp.toml:9:81
      |
    9 | ready = [{}, { tcp = "http", run = "x" }, { http = "http", path = "x", status = 7 }, { exited = 1 }, { run = "" }, { tcp = "http", st...
      |                                                                                 ^
    error[E0109]: expected 0, found 1
     --> env/encamp.toml:9:97
      |
    9 | ready = [{}, { tcp = "http", run = "x" }, { http = "http", path = "x", status = 7 }, { exited = 1 }, { run = "" }, { tcp = "http", st...
      |                                                                                                 ^
    error[E0109]: this command is empty
     --> env/encamp.toml:9:110
      |
    9 | ready = [{}, { tcp = "http", run = "x" }, { http = "http", path = "x", status = 7 }, { exited = 1 }, { run = "" }, { tcp = "http", st...
      |                                                                                                              ^^
    error[E0103]: `status` belongs to a probe with `http`
     --> env/encamp.toml:9:132
      |
    9 | ..., status = 7 }, { exited = 1 }, { run = "" }, { tcp = "http", status = 200 }, { log = "x" }]
      |                                                                  ^^^^^^
    "#);
}

#[test]
fn stages() {
    assert_snapshot!(wrong(&format!("{HEAD}[[stages]]\nname = \"a\"\ntasks = []\n[[stages]]\nname = \"a\"\n[[stages.tasks]]\nname = \"t\"\non = \"db\"\nrun = 7\nretry = 1\n[[stages.tasks]]\nname = \"t\"\non = \"bd\"\nrun = []\n")), @r#"
    error[E0109]: this stage has no task
     --> env/encamp.toml:7:9
      |
    7 | tasks = []
      |         ^^
    error[E0111]: the name `a` is used twice
     --> env/encamp.toml:9:8
      |
    6 | name = "a"
      |        --- used here
    ...
    9 | name = "a"
      |        ^^^ again here
    error[E0107]: expected a string or a list, found a whole number
      --> env/encamp.toml:13:7
       |
    13 | run = 7
       |       ^ help: "echo ok" or ["echo", "ok"]
    error[E0103]: unknown key `retry`
      --> env/encamp.toml:14:1
       |
    14 | retry = 1
       | ^^^^^ help: a key with a similar name: `retries`
       |
       = note: keys of a task with `run`: run env cwd user name timeout retries every always allow_failure raw on background junit artifacts
    error[E0111]: the name `t` is used twice
      --> env/encamp.toml:16:8
       |
    11 | name = "t"
       |        --- used here
    ...
    16 | name = "t"
       |        ^^^ again here
    error[E0120]: no machine is called `bd`
      --> env/encamp.toml:17:6
       |
    17 | on = "bd"
       |      ^^^^ help: did you mean `db`?
    "#);
}

#[test]
fn what_a_kind_refuses() {
    assert_snapshot!(web("docker.image = \"Shop/Web\""), @r#"
    error[E0140]: an image has no upper case
     --> env/encamp.toml:7:16
      |
    7 | docker.image = "Shop/Web"
      |                ^^^^^^^^^^ help: write it in lower case
    "#);
}

#[test]
fn a_file_that_is_not_there() {
    let kinds = crate::fake::kinds();
    let failure = encamp_file::load(&encamp_file::Load::new("no/such.toml".as_ref(), &kinds)).unwrap_err();
    assert_snapshot!(failure.render(false), @r#"error[E0100]: no/such.toml cannot be read: No such file or directory (os error 2)"#);
    assert_snapshot!(failure, @r#"no/such.toml cannot be read: No such file or directory (os error 2) [E0100]"#);
}

#[test]
fn an_input_without_a_value_is_said_once() {
    let said = wrong(&format!(
        "{HEAD}count = \"{{{{ inputs.n }}}}\"\nenv = {{ A = \"x{{{{ inputs.n }}}}\" }}\n[inputs]\nn = {{ type = \"integer\" }}\n"
    ));
    assert_snapshot!(said, @r#"
    error[E0132]: the input `n` has no default and was not given
     --> env/encamp.toml:8:1
      |
    8 | n = { type = "integer" }
      | ^ help: --set inputs.n=…
    "#);
}

#[test]
fn a_size_without_a_unit_is_mended() {
    let said = web("docker.image = \"a\"\nneeds = { memory = \"512\" }");
    assert!(said.contains("help: write \"512MiB\" or \"512B\""), "{said}");
}
