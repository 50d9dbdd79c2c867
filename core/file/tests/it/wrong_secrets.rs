//! Secrets that are wrong, and what is said of them.

use insta::assert_snapshot;

use crate::fake::wrong;
use crate::wrong_steps::{setup, web};

#[test]
fn where_secrets_come_from() {
    assert_snapshot!(wrong("name = 'x'\n[secrets]\na = 'hunter2'\nb = { variable = 'B', file = 'b' }\nc = {}\nd = { variable = '$D' }\ne = { file = '../e' }\nf = { file = '~/f' }\nG = { command = '' }\nh = { env = 'H' }\n"), @r#"
    error[E0147]: a secret never stands in the file itself, only where it comes from
     --> env/encamp.toml:3:1
      |
    3 | a = 'hunter2'
      | ^ help: { variable = "A" }
    error[E0147]: the secret `b` comes from one place
     --> env/encamp.toml:4:23
      |
    4 | b = { variable = 'B', file = 'b' }
      |       --------        ^^^^ a second one
      |       |
      |       the first
    error[E0147]: the secret `c` does not say where it comes from
     --> env/encamp.toml:5:1
      |
    5 | c = {}
      | ^ help: one of variable file command
    error[E0106]: `$D` cannot be the name of a variable
     --> env/encamp.toml:6:18
      |
    6 | d = { variable = '$D' }
      |                  ^^^^ help: "D"
      |
      = note: it begins with a letter or _ and goes on with letters, digits and _
    error[E0144]: `../e` leads out of the folder of this file: `..` leads out of it
     --> env/encamp.toml:7:14
      |
    7 | e = { file = '../e' }
      |              ^^^^^^ help: an absolute path, or one below the folder of this file
    error[E0144]: `~` is not the home folder here
     --> env/encamp.toml:8:14
      |
    8 | f = { file = '~/f' }
      |              ^^^^^ help: an absolute path, or one below the folder of this file
    error[E0106]: `G` is no name
     --> env/encamp.toml:9:1
      |
    9 | G = { command = '' }
      | ^ help: `g`
      |
      = note: a name begins with a-z, goes on with a-z, 0-9 and -, and has at most 40 characters
    error[E0147]: the secret `h` does not say where it comes from
      --> env/encamp.toml:10:1
       |
    10 | h = { env = 'H' }
       | ^ help: one of variable file command
    error[E0103]: unknown key `env`
      --> env/encamp.toml:10:7
       |
    10 | h = { env = 'H' }
       |       ^^^
       |
       = note: keys of a secret: variable file command
    "#);
}

#[test]
fn secrets_that_nobody_declares() {
    assert_snapshot!(web("env = { A = \"{{ secret('tokn') }}\", B = '{{ secret }}', C = '{{ secret(me.name) }}' }"), @r#"
    error[E0129]: no secret is called `tokn`
     --> env/encamp.toml:9:24
      |
    9 | env = { A = "{{ secret('tokn') }}", B = '{{ secret }}', C = '{{ secret(me.name) }}' }
      |                        ^^^^^^ help: did you mean `token`?
    error[E0129]: `secret` takes a name in quotes
     --> env/encamp.toml:9:45
      |
    9 | env = { A = "{{ secret('tokn') }}", B = '{{ secret }}', C = '{{ secret(me.name) }}' }
      |                                             ^^^^^^ help: write `secret('…')`
    error[E0129]: `secret` takes a name in quotes
     --> env/encamp.toml:9:65
      |
    9 | env = { A = "{{ secret('tokn') }}", B = '{{ secret }}', C = '{{ secret(me.name) }}' }
      |                                                                 ^^^^^^ help: write `secret('…')`
    "#);
    assert_snapshot!(wrong("name = 'x'\n[machines.a]\nprovider = \"{{ secret('x') }}\"\n"), @r#"
    error[E0122]: a secret is not known here, where it is decided which machines there are
     --> env/encamp.toml:3:16
      |
    3 | provider = "{{ secret('x') }}"
      |                ^^^^^^
    "#);
}

#[test]
fn secrets_where_they_would_be_seen() {
    assert_snapshot!(web("env = { A = \"x{{ secret('token') }}\" }"), @r#"
    error[E0145]: `A` holds a secret, and a `docker` shows the environment of its process
     --> env/encamp.toml:9:13
      |
    9 | env = { A = "x{{ secret('token') }}" }
      |             ^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: `secrets = { A = "x{{ secret('token') }}" }`: a file, which the variable `A_FILE` names; or `--allow-visible`
    "#);
    assert_snapshot!(web("docker.command = ['serve', \"--token={{ secret('token') ~ 'x' }}\"]"), @r#"
    error[E0145]: what stands in `docker` is shown by the infrastructure, and this holds a secret
     --> env/encamp.toml:9:28
      |
    9 | docker.command = ['serve', "--token={{ secret('token') ~ 'x' }}"]
      |                            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: give it to the machine as a file: `secrets = { NAME = "{{ secret('…') }}" }`, which `NAME_FILE` names
    "#);
    assert_snapshot!(setup("run = ['app', \"--token={{ secret('token') }}\"]"), @r#"
    error[E0145]: an argument shows in the list of processes, and this one holds a secret
     --> env/encamp.toml:9:26
      |
    9 | setup = [{ run = ['app', "--token={{ secret('token') }}"] }]
      |                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: give it by `env`, let the command read its file, or write the command as one string for the shell
    "#);
    assert_snapshot!(web("services.app = { run = \"app {{ secret('token') }}\" }"), @r#"
    error[E0145]: the command of a service shows in the list of processes, and this one holds a secret
     --> env/encamp.toml:9:24
      |
    9 | services.app = { run = "app {{ secret('token') }}" }
      |                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^ help: give it by `env`, or let the service read its file
    "#);
    assert_snapshot!(setup("copy = 'site', to = \"/srv/{{ secret('token') }}\""), @r#"
    error[E0145]: a secret cannot stand here, where it would be shown
     --> env/encamp.toml:9:32
      |
    9 | setup = [{ copy = 'site', to = "/srv/{{ secret('token') }}" }]
      |                                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: give it to the machine as a file: `secrets = { NAME = "{{ secret('…') }}" }`, which `NAME_FILE` names
    "#);
    assert_snapshot!(setup("run = 'a', user = \"{{ secret('token') }}\""), @r#"
    error[E0145]: a secret cannot stand here
     --> env/encamp.toml:9:34
      |
    9 | setup = [{ run = 'a', user = "{{ secret('token') }}" }]
      |                                  ^^^^^^^^^^^^^^^
      |
      = note: the value of `{{ secret('token') }}` decides what is done, not what is passed on
    "#);
}

#[test]
fn secrets_in_outputs() {
    assert_snapshot!(wrong("name = 'x'\n[secrets]\nt = { variable = 'T' }\n[outputs]\nt = \"{{ secret('t') }}\"\n"), @r#"
    error[E0145]: the output `t` is shown to everybody, and it holds a secret
     --> env/encamp.toml:5:5
      |
    5 | t = "{{ secret('t') }}"
      |     ^^^^^^^^^^^^^^^^^^^ help: who needs it reads it where it comes from
    "#);
}

#[test]
fn secrets_of_a_machine() {
    assert_snapshot!(web("secrets = { 'a-b' = \"{{ secret('token') }}\" }"), @r#"
    error[E0106]: `a-b` cannot be the name of a variable
     --> env/encamp.toml:9:13
      |
    9 | secrets = { 'a-b' = "{{ secret('token') }}" }
      |             ^^^^^
      |
      = note: it begins with a letter or _ and goes on with letters, digits and _
    "#);
    assert_snapshot!(web("secrets = ['token']"), @r#"
    error[E0107]: expected a table, found a list
     --> env/encamp.toml:9:11
      |
    9 | secrets = ['token']
      |           ^^^^^^^^^ help: secrets = { TOKEN = "{{ secret('token') }}" }
    "#);
}
