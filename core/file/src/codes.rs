//! The codes of diagnostics, and what each means at length.

use std::fmt;

use serde::Serialize;

/// The code of a diagnostic, `E0103`: stable, to search for and to explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Code(&'static str);

impl Code {
    /// The text, `E0103`.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What a code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Which code.
    pub code: Code,
    /// In a few words.
    pub title: &'static str,
    /// A paragraph: what is wrong, why it is refused, what to write instead.
    pub text: &'static str,
}

/// All codes, in order.
pub fn explanations() -> &'static [Explanation] {
    ALL
}

/// What a code means; upper and lower case are the same.
pub fn explain(code: &str) -> Option<&'static Explanation> {
    ALL.iter()
        .find(|explanation| explanation.code.0.eq_ignore_ascii_case(code))
}

/// Declares each code together with its explanation, so that none can be used unexplained.
macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $text:literal;)*) => {
        $(pub(crate) const $name: Code = Code($code);)*
        const ALL: &[Explanation] = &[
            $(Explanation { code: Code($code), title: $title, text: $text },)*
        ];
    };
}

codes! {
    UNREADABLE = "E0100", "the file cannot be read",
        "The environment file, or a file that it names, is not there, may not be read, or is no UTF-8 text. \
         Without an argument encamp looks for `encamp.toml` in the current folder.";
    SYNTAX = "E0101", "this is no TOML",
        "The text breaks the rules of TOML at the place shown. Often a string lacks its closing quote, a table \
         header its bracket, or an inline table a comma. Nothing else of the file is checked until this is mended, \
         because what follows such a place cannot be trusted.";
    DUPLICATE_KEY = "E0102", "a key is written twice",
        "TOML allows each key once. A table counts as written as soon as one of its keys is: `docker.image = …` \
         under `[machines.web]` and a later `[machines.web.docker]` describe the same table twice. Put all its keys \
         in one of the two places.";
    UNKNOWN_KEY = "E0103", "an unknown key",
        "The table has no such key. Keys that every machine has (`count`, `env`, `ports`, …) stand in the machine's \
         own table; keys of one kind of infrastructure stand in a table named after the kind, as `docker.image`. \
         Unknown keys are refused rather than ignored, because a misspelt key would otherwise change nothing, silently.";
    MISSING_KEY = "E0104", "a key is missing",
        "The table lacks a key that it cannot do without.";
    MISSING_TABLE = "E0105", "a machine lacks the table of its provider's kind",
        "The machine may be carried by a provider whose kind needs to know more: a container needs an image, a cloud \
         machine a size. Write the kind's keys beside the machine's own, as `docker.image = \"…\"`.";
    BAD_NAME = "E0106", "a name breaks the rules",
        "Names become host names, labels and file names everywhere, so they begin with a-z, go on with a-z, 0-9 \
         and -, and have at most 40 characters. `controller` is the place where encamp itself runs and cannot be the \
         name of a machine. Variables of the environment, inputs and outputs may have upper case and underscores, \
         but no other signs.";
    WRONG_TYPE = "E0107", "a value has the wrong type",
        "A key was given a value of another type than it takes. A scalar may always be a string that is exactly one \
         expression, `\"{{ inputs.n }}\"`; the value of the expression then has to have the type.";
    BAD_UNIT = "E0108", "a duration or a size cannot be read",
        "Durations have units: `500ms`, `90s`, `1h30m`, `2d`. So have sizes: `512MiB`, `2GiB`. A bare number is \
         refused, because one reader takes it for seconds and the next for minutes.";
    OUT_OF_RANGE = "E0109", "a value is out of range",
        "The value has the right type, but not one that is allowed here.";
    UNKNOWN_PROVIDER = "E0110", "an unknown provider",
        "`provider` names a configured provider: one that the settings define, or a built-in kind by its own name. \
         `encamp provider ls` lists them once it exists in your version.";
    TAKEN = "E0111", "a name is used twice",
        "Machines and groups, the stages of a file, and the tasks of a stage have names of their own. The members of \
         a group `web` are called `web-0`, `web-1` and so on, so no machine beside it may be called `web-0`.";
    TOO_LARGE = "E0112", "the file goes beyond a limit",
        "Limits keep a mistake from eating the machine that encamp runs on: files have at most 1 MiB, tables nest at \
         most 64 deep, an environment has at most 10,000 machines, and rendered texts have a common budget.";
    BAD_EXPRESSION = "E0113", "an expression cannot be read",
        "What stands between `{{` and `}}` is an expression of Jinja. Only expressions are alive in a string: blocks \
         and comments are left to the shell. For the two braces themselves write `{{ '{{' }}`.";
    FAILED_EXPRESSION = "E0114", "an expression has no value",
        "The expression can be read, but computing it failed: a filter was given what it does not take, or something \
         that is not defined was used.";
    COSTLY_EXPRESSION = "E0115", "an expression takes too much work",
        "Each expression has a budget of work and of text. It suffices for lists of all machines of the largest \
         environment; an expression that exhausts it is most likely a mistake.";
    RESERVED_KIND = "E0116", "a kind's name is a common key",
        "A kind's tables are found by its name, so a kind cannot be called like a key that every machine has. The \
         provider has to be registered under another name.";
    UNKNOWN_MACHINE = "E0120", "an unknown machine",
        "No machine and no group has this name. In expressions a name with a dash stands in brackets: \
         `machines['my-db']`, because `-` is a minus there.";
    UNKNOWN_INPUT = "E0121", "an unknown input",
        "`inputs.x` speaks of an input that `[inputs]` does not declare.";
    UNKNOWN_VARIABLE = "E0122", "an unknown name in an expression",
        "Expressions know `inputs`, `machines`, `me` (the machine that the text belongs to), `secret('…')` and, in a stage, `stage`. \
         In `count`, `provider`, `ports` and other keys that decide which machines there are, only `inputs` is known.";
    UNKNOWN_PORT = "E0123", "an unknown port",
        "Ports are spoken of by the names under which a machine declares them in `ports`.";
    NO_ME = "E0124", "`me` has no meaning here",
        "`me` is the machine that a text belongs to; in a task, the machine that it runs on. Outputs and tasks on the \
         controller belong to no machine, and `me.index` exists only in groups.";
    NOT_PUBLISHED = "E0125", "a port cannot be dialled from here",
        "Outputs and tasks on the controller see machines from outside, through published ports. A port with \
         `publish = false` is not published, nor is a udp port, and a whole group has no single address outside: \
         name one of its members, `machines.web[0]`. A udp port is dialled only from machines that the same provider may carry.";
    UNKNOWN_ATTRIBUTE = "E0126", "an unknown attribute, function or filter",
        "A machine has `name`, `index`, `address`, `host`, `port(p)`, `endpoint(p)`, `url(p)` and `outputs`; a group has `names`, \
         `hosts`, `addresses`, `ports(p)`, `endpoints(p)`, `urls(p)`, and `each('…')` as a filter.";
    BAD_INDEX = "E0127", "no such member",
        "The members of a group are counted from 0; a machine without `count` is no group and has no members.";
    UNKNOWN_OUTPUT = "E0128", "an unknown output",
        "`machines.x.outputs.NAME` is the last line that a step of the set-up of `x` said, where the step has \
         `output = \"NAME\"`. No step of that machine has this output.";
    UNKNOWN_SECRET = "E0129", "an unknown secret",
        "Secrets come from a variable, a file or a command: `[secrets] token = { variable = \"TOKEN\" }`, or from the table \
         of that name in the settings. `secret('…')` takes the name of one of them, in quotes, so that it is known which \
         secrets a file needs before any is read.";
    LATE = "E0130", "a value is not known early enough",
        "Addresses are known only when a machine runs. They may stand in the environment and in commands, and in those \
         keys of a kind that can wait, never in what decides how a machine is made, such as its image. The name of a \
         machine, its index and its ports are known from the start, and `machines.db.endpoint('pg')` is \
         `db:5432` inside the environment.";
    CYCLE = "E0131", "machines wait for each other",
        "A machine that speaks of another's endpoint, host, url or address is created once the other is ready; each \
         machine on the way round the circle waits for the next. The static forms make no dependency: write the name \
         itself (`db:5432`), or `machines.db.name` and `machines.db.port('pg')`.";
    BAD_INPUT = "E0132", "an input has no usable value",
        "An input without `default` has to be given with `--set`, and each value has to have the input's type and be \
         one of its `choices`.";
    BAD_SET = "E0133", "`--set` cannot be understood",
        "`--set` takes `inputs.NAME=VALUE` (or `NAME=VALUE`) and `machines.NAME.provider=PROVIDER`, where NAME may be \
         `*` for all machines.";
    KIND_PROBLEM = "E0140", "the kind refuses its table",
        "The table has the right form, but the kind of infrastructure refuses what it says.";
    ONE_CONDITION = "E0141", "a probe needs exactly one condition",
        "Each element of `ready` has one of `tcp`, `http`, `log`, `run`, `file`, `exited`, `healthcheck`, `ssh` and \
         `cloud_init`. All elements must hold, so several conditions are several elements.";
    ONE_ACTION = "E0142", "a step or task does exactly one thing",
        "A step of `setup` has one of `run`, `script`, `copy`, `template`, `fetch` and `sync`; a task has one of `run`, \
         `script`, `copy`, `template`, `fetch` and `do`. Several things are several steps, in the order of the list: \
         `setup = [{ copy = \"app\", to = \"/srv\" }, { run = \"/srv/install.sh\" }]`.";
    NO_FILE = "E0143", "a file that is not there",
        "The file names another file or folder, which is not there or cannot be read. Paths are relative to the folder \
         of the environment file: `{ copy = \"site\", to = \"/srv\" }` takes `site` beside it.";
    OUTSIDE = "E0144", "a path leads out of the file's folder",
        "What goes to a machine lies beside or below the environment file, so that a file that was copied from elsewhere \
         cannot take anything else of this computer with it. Absolute paths, `..` beyond the folder, and links that lead \
         out of it are refused. Put the file into the folder, or the environment file further up: `{ copy = \"../lib\" }` in \
         `test/encamp.toml` becomes `{ copy = \"lib\" }` in an `encamp.toml` one folder higher.";
    VISIBLE = "E0145", "a secret would be seen",
        "The text holds a secret, and its place is one that the infrastructure or encamp shows to others: a kind's table, \
         the environment of a container's main process (`docker inspect` prints it), a path, an output. Give it to the \
         machine as a file: `secrets = { TOKEN = \"{{ secret('token') }}\" }` makes `/run/encamp/secrets/TOKEN`, and the variable \
         `TOKEN_FILE` names that. For `env` alone, `--allow-visible` overrides.";
    LATER = "E0146", "this comes with a later version",
        "The language has a place for it, but this version cannot do it yet. The message says what does the same until \
         then, where something does: `setup = [{ run = \"ansible-playbook site.yml\" }]` for `ansible`.";
    ONE_SOURCE = "E0147", "a secret comes from exactly one place",
        "A secret never stands in the environment file. `[secrets]` says where it comes from, with one of \
         `variable` (of encamp's own environment), `file` and `command`: `token = { variable = \"TOKEN\" }`.";
    BAD_PATTERN = "E0148", "a pattern cannot be read",
        "`log` takes a regular expression: `ready = [{ log = \"listening on port \\\\d+\" }]`; its special characters are \
         escaped by a backslash, which a TOML string in single quotes leaves alone. `exclude` takes patterns as \
         `.gitignore` has them: `*.log`, `target`, `build/**`.";
    BAD_TEMPLATE = "E0149", "a template file cannot be rendered",
        "A file that `template` names is written in Jinja: `{{ … }}`, `{% for … %}`, `{% if … %}`, macros and filters, \
         but no `include`, `import` and `extends`. The message points into the template. Braces that are not meant for \
         Jinja stand between `{% raw %}` and `{% endraw %}`.";
    UNKNOWN_TASK = "E0150", "there is no such task in the background",
        "`do = \"finish\"` waits for a task that was begun before it in the same stage with `background = true`: \
         `{ name = \"end of load\", do = \"finish\", task = \"load\" }`.";
    MISPLACED_KEY = "W0201", "a machine's key stands where it means something else",
        "A key with the name of one of the machine's own keys stands in `env`, or in a kind's table that takes any \
         key. It would become an environment variable, or go to the infrastructure, and would not do what its name says.";
    TCP_ONLY = "W0202", "a database is probed by its port alone",
        "The images of databases open their port before they answer, some of them once for their own set-up and again \
         for good. A probe that asks the database itself tells the two apart.";
    LITERAL_DEFAULT = "W0203", "an input's default is never rendered",
        "The default of an input is taken as it is; braces in it are no expression.";
    NEWER_TOML = "W0204", "the file needs TOML 1.1",
        "Tables in braces over several lines or with a comma before the closing brace, the escapes `\\e` and `\\x41`, and \
         times without seconds came with TOML 1.1. encamp reads them; an editor or another tool may not. In TOML 1.0 \
         write a table with a header, `[machines.web.docker]`.";
    LITERAL_SECRET = "W0205", "what is called a secret stands in the file",
        "`secrets` of a machine makes files that nobody else sees, but the text given stands in the environment file for \
         everybody to read. Use `secret('…')` in it, `secrets = { URL = \"https://u:{{ secret('password') }}@host\" }`; what is no secret may as \
         well stand in `env`.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_in_order_and_explained() {
        for pair in ALL.windows(2) {
            assert!(pair[0].code < pair[1].code, "{} {}", pair[0].code, pair[1].code);
        }
        for explanation in ALL {
            assert!(
                explanation.text.len() > 40 && explanation.text.ends_with('.'),
                "{}",
                explanation.code
            );
            assert!(!explanation.title.is_empty());
        }
        assert_eq!(explain("e0103").map(|e| e.code), Some(UNKNOWN_KEY));
        assert_eq!(explain("E9999"), None);
    }
}
