//! Text that a POSIX shell reads: the one place where a word is made safe for one.

use std::borrow::Cow;
use std::fmt::Write;

use crate::{Env, Error, ErrorKind, Result};

/// A word that any POSIX shell reads as just that. What cannot be misread stays as it is, so that commands can be read
/// in a list of processes, and pass through login shells that quote otherwise.
pub fn quote(word: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-+./:,@%=".contains(&b);
    // A leading `=` or `~` means something to one shell or another.
    if !word.is_empty() && word.bytes().all(plain) && !word.starts_with('=') {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

/// Words, quoted, with spaces between.
pub fn quote_all(words: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let words: Vec<_> = words
        .into_iter()
        .map(|word| quote(word.as_ref()).into_owned())
        .collect();
    words.join(" ")
}

/// Whether a name can be assigned to in a shell.
pub fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Variables as lines that a shell reads: `export NAME='value'`. A name that no shell can set, and a value that holds a NUL,
/// is [`Invalid`](ErrorKind::Invalid).
pub fn exports(env: &Env) -> Result<String> {
    let mut text = String::new();
    for (name, value) in env {
        let why = match () {
            () if !is_variable(name) => format!("`{name}` is no variable that a shell can set"),
            () if value.contains('\0') => format!("the variable {name} holds a NUL"),
            () => {
                // Writing to a text cannot fail.
                let _ = writeln!(text, "export {name}='{}'", value.replace('\'', r"'\''"));
                continue;
            }
        };
        return Err(Error::new(ErrorKind::Invalid, why).with("key", "env"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a real shell makes of it.
    fn through(shell: &[&str], words: &[&str]) -> Vec<String> {
        let line = format!(r#"for w in {}; do printf '%s\0' "$w"; done"#, quote_all(words));
        let output = std::process::Command::new(shell[0])
            .args(&shell[1..])
            .arg("-c")
            .arg(line)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn every_word_arrives_as_it_is() {
        let words = [
            "plain",
            "",
            " ",
            "'",
            "''",
            "it's",
            "\"",
            "\\",
            "\\'",
            "$HOME",
            "`id`",
            "$(id)",
            "a\nb",
            "\n",
            "*",
            "?",
            "[a]",
            "~",
            "~root",
            "=ls",
            "!!",
            "a;b",
            "a&b",
            "a|b",
            ">x",
            "<x",
            "#",
            "a#",
            "{a,b}",
            "-n",
            "ä€",
            "\u{1b}[1m",
            "\t",
        ];
        for shell in [&["sh"][..], &["bash"], &["busybox", "sh"]] {
            assert_eq!(through(shell, &words), words, "{shell:?}");
        }
    }

    #[test]
    fn every_pair_of_awkward_bytes_arrives_as_it_is() {
        let bytes: Vec<char> = (1_u8..127).map(char::from).collect();
        let words: Vec<String> = bytes
            .iter()
            .flat_map(|a| ['\'', '"', '\\', '$', '\n', ' ', 'x'].map(|b| format!("{a}{b}{a}")))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(through(&["sh"], &words), words);
    }

    #[test]
    fn names_of_variables_are_told_from_others() {
        assert!(is_variable("PATH") && is_variable("_x1"));
        assert!(!is_variable("") && !is_variable("1a") && !is_variable("a.b") && !is_variable("a;b"));
    }

    #[test]
    fn variables_are_read_by_a_shell_as_they_are() {
        let value = "it's $HOME `x` \"y\"\nz";
        let text = exports(&Env::from([("A_1".to_owned(), value.to_owned())])).unwrap();
        let script = format!("{text}printf %s \"$A_1\"");
        let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), value);
        for (name, value) in [("", ""), ("1A", ""), ("A-B", ""), ("A;B", ""), ("A", "a\0b")] {
            let env = Env::from([(name.to_owned(), value.to_owned())]);
            assert!(exports(&env).is_err(), "{name}");
        }
    }
}
