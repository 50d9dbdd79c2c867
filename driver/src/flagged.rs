//! Commands to type, with the `--state` of this one: without it they would speak of another store.

use std::path::Path;

use clap::CommandFactory;

use crate::arguments::Arguments;

/// ` --state DIR` again, where it was given.
pub(crate) fn flag(state: Option<&Path>) -> String {
    state.map_or_else(String::new, |state| {
        format!(" --state {}", encamp::shell::quote(&state.display().to_string()))
    })
}

/// A text whose commands have the flag, after their verb.
pub(crate) fn flagged(text: &str, flag: &str) -> String {
    if flag.is_empty() || text.contains(flag) {
        return text.to_owned();
    }
    let program = Arguments::command();
    let verbs: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
    let mut parts = text.split("encamp ");
    let mut done = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(part.len());
        let (word, rest) = part.split_at(end);
        // A sentence speaks of encamp, too.
        let flag = if verbs.contains(&word) { flag } else { "" };
        done.extend(["encamp ", word, flag, rest]);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_find_the_same_store() {
        let flag = flag(Some(Path::new("/s t")));
        assert_eq!(
            flagged("encamp down -e shop, then `encamp up`; encamp says so", &flag),
            "encamp down --state '/s t' -e shop, then `encamp up --state '/s t'`; encamp says so"
        );
        assert_eq!(flagged("encamp ls", ""), "encamp ls");
        let once = flagged("encamp ls", &flag);
        assert_eq!(flagged(&once, &flag), once);
    }
}
