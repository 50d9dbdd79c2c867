//! Help and wrong usage.

use insta::assert_snapshot;

use crate::bed::Bed;

#[test]
fn help_names_what_works_and_nothing_else() {
    assert_snapshot!(Bed::new().encamp(&["--help"]), @r"
    exit 0
    -- stdout
    Sets up environments of machines, runs work on them, and takes them down with nothing left

    Usage: encamp [OPTIONS] <COMMAND>

    Commands:
      init         Write an environment file to begin with, for what lies in the folder
      validate     Check an environment file, and say everything that is wrong with it
      plan         Show what `up` would change, and change nothing
      run          Bring an environment up, run its stages, collect results, take it down
      up           Bring an environment to what its file says, and keep it
      down         Take an environment down, or some of its machines
      extend       Let an environment live longer: at least so long from now
      ls           List environments
      show         Show an environment: machines, addresses, outputs
      exec         Run a command in a machine
      shell        Open a shell in a machine
      cp           Copy files into a machine or out of it
      forward      Listen here for ports of a machine, until Ctrl-C
      logs         Print what machines have said
      stop         Stop machines; what was stopped on purpose has not died
      start        Start machines that were stopped, and wait until they are ready
      sync         Bring working trees on machines up to date, as `sync` in their set-up says
      gc           Dispose of everything that is due, on every site that was ever used
      recover      After the store was lost: record again what this installation has made; nothing is destroyed
      doctor       Look at everything that encamp stands on: settings, store, providers, what is due
      provider     Look at providers: which there are, and whether one keeps its promises; begin a new one
      trust        Show the keys of a host, or vouch for one by its fingerprint
      schema       Print the JSON Schema of environment files, for editors
      explain      Say what a code such as E0103 means
      completions  Print what makes a shell complete encamp's words: source <(encamp completions bash)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Everywhere:
          --json
              Print JSON for programs

          --state <DIR>
              Where the store is [default: encamp in the user's folder for state]

          --yes
              Do what would be asked about without asking

    Variables:
      ENCAMP__STATE_DIR                 where the store is, as --state
      ENCAMP__TIMEOUTS__CREATE          the setting timeouts.create, and so on for each setting
      ENCAMP__PROVIDERS__DOCKER__HOST   the setting providers.docker.host, and so on
      ENCAMP__PLUGINS                   folders and manifests of plugins, with commas between them
      ENCAMP__LOG                       what to log on standard error: warn, encamp_engine=debug
      NO_COLOR, CLICOLOR_FORCE          no colour, or colour where there is no terminal

    Exit codes: 0 all well · 1 a task failed · 3 a provider failed
                2 the file, settings or usage are wrong, or what was asked was declined
                4 something could not be disposed of yet · 130 interrupted
    -- stderr
    ");
}

#[test]
fn help_says_how_a_provider_is_checked() {
    assert_snapshot!(Bed::new().encamp(&["provider", "check", "-h"]), @r"
    exit 0
    -- stdout
    Hold a provider to every promise of the contract: held, broken, or not offered

    Usage: encamp provider check [OPTIONS] <NAME>

    Arguments:
      <NAME>  The provider instance

    Options:
          --table <JSON>       What a plain machine is made of, as JSON [default: the first example of the kind's schema; `docker` has none]
          --within <DURATION>  How long a machine may take to run, and to be gone [default: 1m]
          --only <WORD>        Only promises whose names have this in them, as they are printed or as the report has them
          --kill               Kill calls in the middle as well; takes a few minutes where machines are slow
      -h, --help               Print help (see more with '--help')

    Everywhere:
          --json         Print JSON for programs
          --state <DIR>  Where the store is [default: encamp in the user's folder for state]
          --yes          Do what would be asked about without asking
    -- stderr
    ");
}

#[test]
fn short_help_of_each_verb() {
    let bed = Bed::new();
    let verbs = [
        "init",
        "validate",
        "plan",
        "run",
        "up",
        "down",
        "extend",
        "ls",
        "show",
        "exec",
        "shell",
        "cp",
        "forward",
        "logs",
        "stop",
        "start",
        "sync",
        "gc",
        "recover",
        "doctor",
        "trust",
        "schema",
        "explain",
        "completions",
    ];
    let usages = verbs.map(|verb| bed.encamp(&[verb, "-h"]).exits(0).stdout);
    let usages: Vec<&str> = usages
        .iter()
        .filter_map(|help| help.lines().find(|line| line.starts_with("Usage")))
        .collect();
    assert_snapshot!(usages.join("\n"), @r"
    Usage: encamp init [OPTIONS] [FOLDER]
    Usage: encamp validate [OPTIONS] [FILE]
    Usage: encamp plan [OPTIONS] [FILE]
    Usage: encamp run [OPTIONS] [FILE]
    Usage: encamp up [OPTIONS] [FILE]
    Usage: encamp down [OPTIONS] [MACHINE]...
    Usage: encamp extend [OPTIONS] <DURATION>
    Usage: encamp ls [OPTIONS]
    Usage: encamp show [OPTIONS]
    Usage: encamp exec [OPTIONS] <MACHINE> -- <COMMAND>...
    Usage: encamp shell [OPTIONS] <MACHINE>
    Usage: encamp cp [OPTIONS] <FROM> <TO>
    Usage: encamp forward [OPTIONS] <MACHINE> <PORT[:LOCAL]>...
    Usage: encamp logs [OPTIONS] [MACHINE]...
    Usage: encamp stop [OPTIONS] [MACHINE]...
    Usage: encamp start [OPTIONS] [MACHINE]...
    Usage: encamp sync [OPTIONS] [MACHINE]...
    Usage: encamp gc [OPTIONS]
    Usage: encamp recover [OPTIONS]
    Usage: encamp doctor [OPTIONS]
    Usage: encamp trust [OPTIONS] <HOST> [FINGERPRINT]
    Usage: encamp schema [OPTIONS]
    Usage: encamp explain [OPTIONS] [CODE]
    Usage: encamp completions [OPTIONS] <SHELL>
    ");
}

#[test]
fn wrong_usage_exits_2() {
    let bed = Bed::new();
    assert_snapshot!(bed.encamp(&["dwon"]), @r"
    exit 2
    -- stdout
    -- stderr
    error: unrecognized subcommand 'dwon'

      tip: a similar subcommand exists: 'down'

    Usage: encamp [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    let ran = bed.encamp(&["rnu"]).exits(2);
    assert!(ran.stderr.contains("tip: a similar subcommand exists: 'run'"), "{ran}");
    assert_snapshot!(bed.encamp(&["exec", "web", "true"]), @r"
    exit 2
    -- stdout
    -- stderr
    error: unexpected argument 'true' found

    Usage: encamp exec [OPTIONS] <MACHINE> -- <COMMAND>...

    For more information, try '--help'.
    ");
    assert_snapshot!(bed.encamp(&["up", "--set", "version"]), @r"
    exit 2
    -- stdout
    -- stderr
    error: invalid value 'version' for '--set <KEY=VALUE>': write it as name=value

    For more information, try '--help'.
    ");
    assert_snapshot!(bed.encamp(&["logs", "--since", "yesterday"]), @r#"
    exit 2
    -- stdout
    -- stderr
    error: invalid value 'yesterday' for '--since <WHEN>': `yesterday` is neither a length of time ("90s", "10m", "1h 30m") nor a moment ("2026-05-01T14:30:00Z")

    For more information, try '--help'.
    "#);
    bed.encamp(&[]).exits(2);
}
