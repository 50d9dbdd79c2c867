//! What was probably meant.

/// The candidate that `text` is most like, if it is like any.
pub(crate) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A text that long is no slip of the finger, and comparing takes its square.
    if text.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .take(10_000)
        .map(|candidate| (strsim::jaro_winkler(text, candidate), candidate))
        .filter(|(likeness, candidate)| {
            *likeness >= 0.8 || (candidate.len() > 1 && strsim::damerau_levenshtein(text, candidate) <= 1)
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?`
pub fn did_you_mean<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(text, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// Names in backquotes, shortened.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    shown(names, 20)
}

/// All keys of a table: whoever has mistyped one looks for it here.
pub(crate) fn keys<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    shown(names, 200)
}

fn shown<'a>(names: impl IntoIterator<Item = &'a str>, most: usize) -> String {
    let names: Vec<&str> = names.into_iter().take(most + 1).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut text = names.iter().take(most).copied().collect::<Vec<_>>().join(" ");
    if names.len() > most {
        text.push_str(" …");
    }
    text
}
