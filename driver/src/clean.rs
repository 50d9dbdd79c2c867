//! What machines say, without what would change the terminal that it is shown on.

/// Keeps text, tabs and colours (SGR); drops every other control character and sequence. A line end is dropped too, save
/// through [`lines`].
pub(crate) fn line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut coloured = false;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\t' => clean.push(c),
            '\u{1b}' => {
                if let Some(sgr) = escape(&mut rest) {
                    clean.push_str(&sgr);
                    coloured = true;
                }
            }
            // CSI, and the beginnings of strings, in their one-character forms.
            '\u{9b}' => drop(control_sequence(&mut rest)),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => string(&mut rest),
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    if coloured && !clean.ends_with(RESET) {
        clean.push_str(RESET);
    }
    clean
}

/// Ends every colour.
const RESET: &str = "\u{1b}[0m";

/// A text with its line ends, each line clean.
pub(crate) fn text(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(line).collect();
    lines.join("\n")
}

/// Each line of a text, clean.
pub(crate) fn lines(text: &str) -> Vec<String> {
    text.lines().map(line).collect()
}

/// What follows an ESC; gives the whole sequence where it is a colour.
fn escape(rest: &mut std::str::Chars<'_>) -> Option<String> {
    let mut ahead = rest.clone();
    match ahead.next()? {
        '[' => {
            *rest = ahead;
            control_sequence(rest)
        }
        ']' | 'P' | 'X' | '^' | '_' => {
            *rest = ahead;
            string(rest);
            None
        }
        // Two characters, or intermediates and one more: a change of the character set, for example.
        ' '..='/' => {
            *rest = ahead;
            for c in rest.by_ref() {
                if !(' '..='/').contains(&c) {
                    break;
                }
            }
            None
        }
        '0'..='~' => {
            *rest = ahead;
            None
        }
        _ => None,
    }
}

/// Parameters and a final character; gives the sequence where it is SGR. A broken one ends before what breaks it.
fn control_sequence(rest: &mut std::str::Chars<'_>) -> Option<String> {
    let mut parameters = String::new();
    loop {
        let mut ahead = rest.clone();
        match ahead.next()? {
            c @ ' '..='?' => {
                *rest = ahead;
                parameters.push(c);
            }
            'm' => {
                *rest = ahead;
                let is_colour = parameters.chars().all(|c| c.is_ascii_digit() || c == ';' || c == ':');
                return is_colour.then(|| format!("\u{1b}[{parameters}m"));
            }
            '@'..='~' => {
                *rest = ahead;
                return None;
            }
            _ => return None,
        }
    }
}

/// Up to the string terminator, BEL, or the end of the line.
fn string(rest: &mut std::str::Chars<'_>) {
    while let Some(c) = rest.next() {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                let mut ahead = rest.clone();
                if ahead.next() == Some('\\') {
                    *rest = ahead;
                }
                return;
            }
            _ => {}
        }
    }
}

/// Cuts ids of more than 32 hexadecimal digits to the eight that people use.
pub(crate) fn short_ids(text: &str) -> String {
    const LONG: usize = 32;
    const SHORT: usize = 8;
    let mut short = String::with_capacity(text.len());
    let mut run = String::new();
    let flush = |run: &mut String, short: &mut String| {
        let kept = if run.len() >= LONG { &run[..SHORT] } else { run.as_str() };
        short.push_str(kept);
        run.clear();
    };
    for c in text.chars() {
        if c.is_ascii_digit() || ('a'..='f').contains(&c) {
            run.push(c);
        } else {
            flush(&mut run, &mut short);
            short.push(c);
        }
    }
    flush(&mut run, &mut short);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_tabs_and_colours_stay() {
        assert_eq!(line("a\tb ü"), "a\tb ü");
        assert_eq!(line("\u{1b}[1;31mred"), "\u{1b}[1;31mred\u{1b}[0m");
        let twice = line(&line("\u{1b}[1;31mred\u{1b}[0m"));
        assert_eq!(twice, "\u{1b}[1;31mred\u{1b}[0m", "clean stays as it is");
        assert_eq!(text("a\n\u{1b}[2Jb\n"), "a\nb\n");
    }

    #[test]
    fn everything_else_goes() {
        for (dirty, clean) in [
            ("a\rb\u{7}\u{8}c\n", "abc"),
            ("\u{1b}[2Jx\u{1b}[1;1Hy", "xy"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("\u{1b}]52;c;ZXZpbA==\u{1b}\\x", "x"),
            ("\u{1b}Pq#0\u{1b}\\x", "x"),
            ("\u{9b}31mx\u{9d}0;t\u{9c}y", "xy"),
            ("\u{1b}(Bx\u{1b}cy", "xy"),
            ("\u{1b}[31", ""),
            ("\u{1b}[?25lx", "x"),
            ("\u{1b}[>4;1mx", "x"),
            ("\u{1b}]0;never ended", ""),
            ("\u{1b}", ""),
        ] {
            assert_eq!(line(dirty), clean, "{dirty:?}");
        }
    }

    #[test]
    fn long_ids_are_cut() {
        let id = "3c1f9a02".repeat(8);
        assert_eq!(
            short_ids(&format!("container {id} of cafe")),
            "container 3c1f9a02 of cafe"
        );
    }
}
