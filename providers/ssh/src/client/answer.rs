//! What a host says: lines of a name and a value, and at most one refusal.

/// An answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    values: Vec<(String, String)>,
    refusal: Option<String>,
}

impl Answer {
    pub(crate) fn read(said: &str) -> Self {
        let mut answer = Self::default();
        for line in said.lines() {
            if let Some(refusal) = line.strip_prefix('!') {
                answer.refusal.get_or_insert_with(|| plain(refusal));
                continue;
            }
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            answer.values.push((name.to_owned(), plain(value)));
        }
        answer
    }

    /// What it says of a name; the last word counts.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let of_name = |(known, _): &&(String, String)| known == name;
        self.values.iter().rev().find(of_name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    pub(crate) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }
}

/// Without what would steer a terminal: a host may say anything.
fn plain(text: &str) -> String {
    text.trim_end().chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_names_and_values() {
        let answer =
            Answer::read("epoch 3\nkey \nlabels {\"a\": \"b c\"}\n!held 7 ec-x\n!other\nepoch 4\r\nx \u{1b}[31mred");
        assert_eq!(answer.number("epoch"), Some(4));
        assert_eq!(answer.get("key"), Some(""));
        assert_eq!(answer.get("labels"), Some("{\"a\": \"b c\"}"));
        assert_eq!(answer.get("none"), None);
        assert_eq!(answer.get("x"), Some("[31mred"));
        assert_eq!(answer.refusal(), Some("held 7 ec-x"));
    }
}
