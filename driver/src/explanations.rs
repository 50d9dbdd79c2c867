//! What each code means at length: those of the environment file, and those of this driver.

use encamp::file;

/// What a code means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Explanation {
    /// `E0401`.
    pub(crate) code: &'static str,
    /// In a few words.
    pub(crate) title: &'static str,
    /// What happened, and what to do.
    pub(crate) text: &'static str,
}

/// All codes, in order.
pub(crate) fn all() -> impl Iterator<Item = Explanation> {
    let files = file::codes::explanations().iter();
    let (errors, warnings): (Vec<_>, Vec<_>) = files
        .map(|of_file| Explanation {
            code: of_file.code.as_str(),
            title: of_file.title,
            text: of_file.text,
        })
        .partition(|explanation| explanation.code.starts_with('E'));
    errors.into_iter().chain(OURS.iter().copied()).chain(warnings)
}

/// What a code means; upper and lower case are the same, and of an error its number is enough.
pub(crate) fn of(code: &str) -> Option<Explanation> {
    let code = code.trim();
    let number: Option<u16> = code.parse().ok();
    let full = number.map_or_else(|| code.to_owned(), |number| format!("E{number:04}"));
    all().find(|explanation| explanation.code.eq_ignore_ascii_case(&full))
}

const fn row(code: &'static str, title: &'static str, text: &'static str) -> Explanation {
    Explanation { code, title, text }
}

const OURS: &[Explanation] = &[
    row(
        "E0301",
        "the settings are wrong",
        "A settings file, an ENCAMP__ variable or a flag says something that encamp does not know or cannot take. The \
         line `at:` names the place. Settings come from /etc/encamp/settings.toml, the user's \
         encamp/settings.toml, .encamp/settings.toml beside the environment file, variables and flags, and each \
         overrides those before it. `encamp doctor` shows what counts in the end.",
    ),
    row(
        "E0302",
        "there is nothing of that name",
        "No environment, no machine or no group of the environment has the name that was given. Without -e the \
         environment is the one that came from this folder's encamp.toml. `encamp ls` lists all environments, \
         `encamp show` the machines of one.",
    ),
    row(
        "E0303",
        "several environments are meant",
        "More than one living environment came from this folder's file: runs that were kept, for example. Name the \
         one that is meant with -e.",
    ),
    row(
        "E0304",
        "somebody else has it",
        "Another encamp holds the environment, or its name belongs to an environment that came from another file. One \
         process at a time may change an environment; the message says which one does. Two checkouts of one project \
         have the same name: change `name` in one of them, or end the other's environment. Two runs cannot write into one \
         folder of results at the same time either: name another one with --out.",
    ),
    row(
        "E0305",
        "it was taken over",
        "Another command has taken the environment over, `encamp down` for example, and this one has stopped without \
         changing anything more.",
    ),
    row(
        "E0306",
        "encamp cannot do that as it was asked",
        "The request contradicts what there is: a folder for results that holds other files, a state folder that is \
         none, a path that is not absolute. The message says which.",
    ),
    row(
        "E0307",
        "something asks, and nobody can answer",
        "What would be lost is asked about on a terminal. Where there is none, and with --json, encamp changes nothing \
         and ends with 2. --yes does it without asking.",
    ),
    row(
        "E0308",
        "the store does not answer",
        "The store of environments cannot be read or written: its disk is full, it lies on a network file system, or \
         another program holds it. Nothing is sent to any provider that is not recorded first.",
    ),
    row(
        "E0310",
        "a file is there already",
        "encamp never overwrites a file that it did not make. Move the file away, or name another place.",
    ),
    row(
        "E0311",
        "a copy was refused",
        "A path does not exist, or what a machine has sent is not taken: an archive with paths outside its folder, \
         with devices, with more files or more bytes than the limit. Code in a machine decides what it sends, so \
         nothing of it is trusted. --limit raises the number of bytes.",
    ),
    row(
        "E0312",
        "a port of this host cannot be listened on",
        "`encamp forward` listens on the loopback address of this host, and something else does so already on the port \
         that was asked for. Without `:LOCAL` a free port is taken and told.",
    ),
    row(
        "E0390",
        "a fault of encamp",
        "Something happened that should not be possible. What was sent to providers is recorded all the same, and \
         `encamp gc` goes on from there. Please report it with the output of `encamp doctor`.",
    ),
    row(
        "E0401",
        "no daemon answers",
        "The provider's daemon or service could not be reached. `encamp doctor` says what was tried. Nothing is \
         started without it, and what exists there is neither touched nor forgotten.",
    ),
    row(
        "E0402",
        "the provider does not answer now",
        "The provider was reached before and does not answer now, or answers that it cannot. An answer that did not \
         come is unknown, never failed: the next command looks at what there is before it repeats anything.",
    ),
    row(
        "E0403",
        "the provider does not allow it",
        "The provider knows nobody by these credentials, or does not let them do this; or its settings do not allow what \
         the file asks for, and `help:` says what to write where. A file comes from anybody; what it may do to this \
         host is for its user's settings to say.",
    ),
    row(
        "E0404",
        "the provider knows no such thing",
        "What the request speaks of is not there, or not any more.",
    ),
    row(
        "E0405",
        "something stands in the way",
        "Something that is not of this environment has the name, the address or the place that was wanted. encamp never \
         touches what does not prove to be its own.",
    ),
    row(
        "E0406",
        "a quota is reached",
        "The account or the host allows no more of this. `encamp gc` ends what is overdue and may make room.",
    ),
    row(
        "E0407",
        "there is no room",
        "The infrastructure has no room for the machine now. A list of providers, `provider = [\"lab\", \"cloud\"]`, lets \
         the next one take it; `--wait` waits for hosts that others have, in the order of those who came.",
    ),
    row(
        "E0408",
        "too many requests",
        "The provider takes no more requests for now. encamp has waited and tried again as often as it may.",
    ),
    row(
        "E0409",
        "the provider does not offer that",
        "Not every kind of infrastructure can do everything. The message names what is missing.",
    ),
    row(
        "E0410",
        "the call was cancelled",
        "Ctrl-C, or a failure elsewhere, has stopped it before the provider answered.",
    ),
    row(
        "E0411",
        "the provider refuses the request",
        "What the machine's table says is understood, and the provider does not take it as it is.",
    ),
    row(
        "E0412",
        "an image is missing",
        "The image is neither here nor to be had from its registry. `near:` names other tags of it that are here. Build \
         it with `docker.build`, or pull it once by hand to see what the registry says.",
    ),
    row(
        "E0414",
        "a machine did not become ready",
        "It was made and started, and then its process ended or what `ready` asks for did not hold in time. `said:` \
         shows its last lines; `encamp logs` shows the rest.",
    ),
    row(
        "E0415",
        "a port is taken",
        "The file fixes a port of the host with `publish`, and something else listens there. Without `publish` the port \
         gets a free one, which `encamp show` tells.",
    ),
    row(
        "E0416",
        "a download is not what its hash says",
        "What lies at the address of a `fetch` has another content than `sha256` says: it was changed, or the hash was \
         written down for something else. Nothing of it reached a machine. Compare it with what its author publishes before \
         you write the new hash into the file.",
    ),
    row(
        "E0417",
        "a download failed",
        "The address of a `fetch` does not answer, or its server does not give the file: `why:` shows its answer. It is asked \
         from this host, through the proxies that http_proxy and https_proxy name, and not from the machine.",
    ),
    row(
        "E0419",
        "a command was lost from sight",
        "The connection to a running command broke. How it ended is not known, and it may run on.",
    ),
    row(
        "E0490",
        "a fault of a provider",
        "The provider's own code failed, or gave an answer that is not understood. What was sent is recorded.",
    ),
    row(
        "E0499",
        "a failure of a kind that this version does not know",
        "A newer provider said something that this version of encamp has no word for. The message is the provider's own.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    #[test]
    fn every_code_is_explained_once_and_in_order() {
        let of_ours: Vec<&str> = OURS.iter().map(|explanation| explanation.code).collect();
        let mut sorted = of_ours.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(of_ours, sorted);
        for code in codes::all() {
            assert!(of_ours.contains(&code), "{code} is not explained");
        }
        assert_eq!(of("103").map(|found| found.code), Some("E0103"));
        assert!(of("e0103").is_some() && of("E0401").is_some() && of("E9999").is_none());
    }

    #[test]
    fn explanations_are_sentences() {
        for explanation in all() {
            assert!(
                explanation.text.len() > 40 && explanation.text.ends_with('.'),
                "{}",
                explanation.code
            );
        }
    }
}
