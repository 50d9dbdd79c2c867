//! What the engine says in the place of a command that it could not start, in words of a reader; its own stand last.

/// How it begins when the runtime gave up, and where it does not know the user.
const BEGINNINGS: [&str; 2] = ["OCI runtime exec failed", "unable to find user "];
/// What stands before the reason.
const PREFIX: &str = "unable to start container process: ";

/// The sentence for what stands on a command's standard output, if it is none of the command's own.
pub(super) fn of(said: &[u8]) -> Option<String> {
    let said = std::str::from_utf8(said).ok()?.trim_end();
    if !BEGINNINGS.iter().any(|beginning| said.starts_with(beginning)) {
        return None;
    }
    let reason = said.split_once(PREFIX).map_or(said, |(_, reason)| reason);
    let quoted = reason.split('"').nth(1).unwrap_or_default();
    let text = if let Some(user) = said.strip_prefix(BEGINNINGS[1]) {
        let user = user.split(':').next().unwrap_or_default();
        format!("the machine knows no user `{user}`")
    } else if reason.starts_with("chdir to cwd") {
        format!("the machine has no folder `{quoted}` to run in")
    } else if reason.starts_with("exec: ") && reason.contains("permission denied") {
        format!("`{quoted}` cannot be run: it is no program, or nobody may execute it")
    } else if reason.starts_with("exec: ") {
        format!("the machine has no command `{quoted}`")
    } else {
        "the command could not be started".to_owned()
    };
    Some(format!("{text} ({said})\n"))
}

/// The same for what the runtime says on standard error of a file that the kernel does not take: a script says in its
/// first line what runs it.
pub(super) fn of_format(said: &[u8]) -> Option<String> {
    let said = std::str::from_utf8(said).ok()?.trim_end();
    let file = said.strip_prefix("exec ")?.strip_suffix(": exec format error")?;
    let text =
        format!("`{file}` cannot be run: it has no line `#!` that says what runs it, or is for another architecture");
    Some(format!("{text} ({said})\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_started_is_told_in_words() {
        let oci = "OCI runtime exec failed: exec failed: unable to start container process: ";
        for (said, plain) in [
            (
                format!("{oci}exec: \"nothere\": executable file not found in $PATH: unknown\r\n"),
                "the machine has no command `nothere` (OCI runtime",
            ),
            (
                format!("{oci}exec: \"/etc/passwd\": permission denied: unknown"),
                "`/etc/passwd` cannot be run: it is no program",
            ),
            (
                format!(
                    "{oci}chdir to cwd (\"/nowhere\") set in config.json failed: no such file or directory: unknown"
                ),
                "the machine has no folder `/nowhere` to run in (",
            ),
            (
                "unable to find user anna: no matching entries in passwd file".to_owned(),
                "the machine knows no user `anna` (unable",
            ),
            (format!("{oci}something new"), "the command could not be started (OCI"),
        ] {
            let told = of(said.as_bytes()).unwrap();
            assert!(told.starts_with(plain) && told.ends_with(")\n"), "{told}");
        }
        assert_eq!(of(b"OCI is what I say"), None);
        let told = of_format(b"exec /x/go.sh: exec format error\r\n").unwrap();
        assert!(
            told.starts_with("`/x/go.sh` cannot be run: it has no line `#!`"),
            "{told}"
        );
        assert_eq!(of_format(b"exec me"), None);
    }
}
