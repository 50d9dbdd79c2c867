//! Puts `***` where a secret stands.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use encamp_core::{BoxRead, Error, Result, Secret};
use tokio::io::AsyncRead;

use super::forms::forms;
use super::stream::Redacted;

/// What stands in the place of a secret.
pub(super) const STARS: &str = "***";

/// Knows the forms of some secrets and puts `***` where one stands. Cheap to clone.
///
/// Where occurrences overlap, all of them go: what is left never holds a part of one.
#[derive(Clone, Default)]
pub struct Redactor(Option<Arc<Known>>);

pub(super) struct Known {
    nfa: NFA,
    start: StateID,
    /// How much of what was read last may be the beginning of a form, by where the automaton stands.
    depths: HashMap<StateID, usize>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() {
            "Redactor(nothing)"
        } else {
            "Redactor(…)"
        })
    }
}

impl Redactor {
    /// Redacts nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Redacts all forms of these; those that are too short have none.
    pub fn of<'s>(secrets: impl IntoIterator<Item = &'s Secret>) -> Self {
        let forms: BTreeSet<String> = secrets.into_iter().flat_map(forms).collect();
        Self(Known::new(&forms).map(Arc::new))
    }

    /// Whether there is nothing to redact.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a secret stands in a text.
    pub fn finds(&self, text: &str) -> bool {
        self.0
            .as_ref()
            .is_some_and(|known| known.find(text.as_bytes(), &mut Finds::default()))
    }

    /// The text without secrets.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.redact_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // Forms are text, so what is cut out begins and ends between characters.
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// Takes secrets out of a text where it is.
    pub fn redact_in(&self, text: &mut String) {
        if let Cow::Owned(redacted) = self.redact(text) {
            *text = redacted;
        }
    }

    /// Takes secrets out of everything that an error and its causes say.
    pub fn redact_error(&self, error: &mut Error) {
        if !self.is_empty() {
            *error = error.told_otherwise(|text| self.redact(text).into_owned());
        }
    }

    /// A result whose error tells no secret.
    pub(crate) fn guard<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|mut error| {
            self.redact_error(&mut error);
            error
        })
    }

    /// The bytes without secrets.
    pub fn redact_bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        let mut finds = Finds::default();
        let found = self.0.as_ref().is_some_and(|known| known.find(bytes, &mut finds));
        if !found {
            return Cow::Borrowed(bytes);
        }
        let mut left = Vec::with_capacity(bytes.len());
        let mut next = 0;
        for find in finds.0 {
            left.extend_from_slice(&bytes[next..find.at.start]);
            left.extend_from_slice(STARS.as_bytes());
            next = find.at.end;
        }
        left.extend_from_slice(&bytes[next..]);
        Cow::Owned(left)
    }

    /// The stream without secrets, wherever its chunks end. Only what may be the beginning of one is held back.
    pub fn redact_stream(&self, stream: impl AsyncRead + Send + 'static) -> BoxRead {
        match &self.0 {
            Some(known) => Box::pin(Redacted::new(Box::pin(stream), Masking::new(Arc::clone(known)))),
            None => Box::pin(stream),
        }
    }
}

impl Known {
    fn new(forms: &BTreeSet<String>) -> Option<Self> {
        if forms.is_empty() {
            return None;
        }
        let nfa = NFA::builder()
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(forms);
        let nfa = nfa.expect("forms are far from the four billion bytes that an automaton can hold");
        let start = nfa
            .start_state(Anchored::No)
            .expect("an automaton of this kind searches anywhere");
        let mut depths = HashMap::new();
        for form in forms {
            let mut state = start;
            for (index, byte) in form.bytes().enumerate() {
                state = nfa.next_state(Anchored::No, state, byte);
                depths.insert(state, index + 1);
            }
        }
        Some(Self { nfa, start, depths })
    }

    fn step(&self, state: StateID, byte: u8) -> StateID {
        self.nfa.next_state(Anchored::No, state, byte)
    }

    /// The length of the longest form that ends where the automaton stands.
    fn ending(&self, state: StateID) -> Option<usize> {
        if !self.nfa.is_match(state) {
            return None;
        }
        (0..self.nfa.match_len(state))
            .map(|index| self.nfa.pattern_len(self.nfa.match_pattern(state, index)))
            .max()
    }

    /// Collects what stands in `bytes`; whether that is anything.
    fn find(&self, bytes: &[u8], finds: &mut Finds) -> bool {
        let mut state = self.start;
        for (index, byte) in bytes.iter().enumerate() {
            state = self.step(state, *byte);
            if let Some(length) = self.ending(state) {
                finds.add(index + 1 - length..index + 1);
            }
        }
        !finds.0.is_empty()
    }
}

/// Stretches that go, in order; those that overlap have become one.
#[derive(Debug, Default)]
struct Finds(Vec<Find>);

#[derive(Debug)]
struct Find {
    at: Range<usize>,
    /// Its stars stand already.
    told: bool,
}

impl Finds {
    /// Ends never go back, so only the last ones can be touched.
    fn add(&mut self, at: Range<usize>) {
        let mut find = Find { at, told: false };
        while let Some(last) = self.0.pop_if(|last| last.at.end > find.at.start) {
            find.at.start = find.at.start.min(last.at.start);
            find.told |= last.told;
        }
        self.0.push(find);
    }
}

/// Redacts what comes in pieces.
pub(super) struct Masking {
    known: Arc<Known>,
    state: StateID,
    /// Read, and not given out.
    held: Vec<u8>,
    /// By their places in `held`.
    finds: Finds,
}

impl Masking {
    fn new(known: Arc<Known>) -> Self {
        let state = known.start;
        Self {
            known,
            state,
            held: Vec::new(),
            finds: Finds::default(),
        }
    }

    /// Takes a piece, and gives out what is decided.
    pub(super) fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for byte in piece {
            self.held.push(*byte);
            self.state = self.known.step(self.state, *byte);
            if let Some(length) = self.known.ending(self.state) {
                self.finds.add(self.held.len() - length..self.held.len());
            }
        }
        // A form that is still to come to its end begins no earlier.
        let open = self.known.depths.get(&self.state).copied().unwrap_or(0);
        self.give(self.held.len() - open, out);
    }

    /// Gives out the rest.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.give(self.held.len(), out);
        self.state = self.known.start;
    }

    fn give(&mut self, until: usize, out: &mut Vec<u8>) {
        let mut next = 0;
        for find in &mut self.finds.0 {
            if find.at.start < until {
                out.extend_from_slice(&self.held[next..find.at.start]);
                if !find.told {
                    out.extend_from_slice(STARS.as_bytes());
                }
                find.told = true;
                next = find.at.end.min(until);
            }
            find.at = find.at.start.saturating_sub(until)..find.at.end.saturating_sub(until);
        }
        out.extend_from_slice(&self.held[next.min(until)..until]);
        self.finds.0.retain(|find| !find.at.is_empty());
        self.held.drain(..until);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn secret(value: &str) -> Secret {
        Secret::new(value.to_owned())
    }

    fn of(values: &[&str]) -> Redactor {
        Redactor::of(&values.iter().map(|value| secret(value)).collect::<Vec<_>>())
    }

    /// What comes out of pieces.
    fn in_pieces<'p>(redactor: &Redactor, pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<u8> {
        let Some(known) = &redactor.0 else {
            return pieces.into_iter().flatten().copied().collect();
        };
        let (mut masking, mut out) = (Masking::new(Arc::clone(known)), Vec::new());
        for piece in pieces {
            masking.feed(piece, &mut out);
        }
        masking.finish(&mut out);
        out
    }

    #[test]
    fn stars_stand_where_secrets_stood() {
        let redactor = of(&["hunter22", "abcd", "cdef"]);
        for (text, redacted) in [
            ("a hunter22 b", "a *** b"),
            ("hunter22hunter22", "******"),
            ("xabcdefx", "x***x"),
            ("hunter2", "hunter2"),
            ("aHVudGVyMjI=", "***"),
            ("", ""),
        ] {
            assert_eq!(redactor.redact(text), redacted, "{text}");
            assert_eq!(in_pieces(&redactor, [text.as_bytes()]), redacted.as_bytes(), "{text}");
        }
        assert!(matches!(redactor.redact("nothing"), Cow::Borrowed(_)));
        assert!(of(&["abc"]).is_empty() && of(&[]).is_empty());
        assert_eq!(format!("{redactor:?}"), "Redactor(…)");
    }

    #[test]
    fn an_error_tells_nothing_on_any_level() {
        let mut error = Error::new(encamp_core::ErrorKind::Invalid, "no hunter22")
            .with("said", "hunter22")
            .caused_by(std::io::Error::other("hunter22"));
        of(&["hunter22"]).redact_error(&mut error);
        assert!(!format!("{error:?}").contains("hunter22"), "{error:?}");
    }

    /// One character that repeats: each of its places is the end of one and the beginning of many.
    #[test]
    fn what_overlaps_itself_takes_no_time() {
        let redactor = of(&[&"a".repeat(20_000)]);
        let text = "a".repeat(300_000);
        assert_eq!(redactor.redact(&text), STARS);
        let halves = [&text.as_bytes()[..100_000], &text.as_bytes()[100_000..]];
        assert_eq!(in_pieces(&redactor, halves), STARS.as_bytes());
    }

    #[tokio::test]
    async fn a_stream_is_not_held_up() {
        let redactor = of(&["hunter22 and much more"]);
        let (mut writer, reader) = tokio::io::duplex(1024);
        let mut reader = redactor.redact_stream(reader);
        let mut read = async |length: usize| {
            let mut bytes = vec![0; length];
            let reading = reader.read_exact(&mut bytes);
            let read = tokio::time::timeout(Duration::from_secs(5), reading).await;
            assert!(read.is_ok(), "it is held back");
            String::from_utf8(bytes).unwrap()
        };
        writer.write_all(b"a line\n").await.unwrap();
        assert_eq!(read(7).await, "a line\n");
        // Of this only the end may become one.
        writer.write_all(b"x hunt").await.unwrap();
        assert_eq!(read(2).await, "x ");
        writer.write_all(b"ing\n").await.unwrap();
        assert_eq!(read(8).await, "hunting\n");
        writer.write_all(b"hunter22 and much more, hunter").await.unwrap();
        assert_eq!(read(5).await, "***, ");
        drop(writer);
        assert_eq!(read(6).await, "hunter");
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    }

    fn secrets() -> impl Strategy<Value = String> {
        let line = "[ -)+-~é€😀]{4,24}";
        prop_oneof![
            3 => line.prop_map(|text| text),
            1 => (line, line).prop_map(|(first, second)| format!("{first}\n  {second}\n")),
            1 => "[ab]{4,12}".prop_map(|text| text),
            1 => "[ -)+-~]{60,140}".prop_map(|text| text),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn no_form_comes_out_wherever_it_is_cut(
            value in secrets(),
            before in proptest::collection::vec(any::<u8>(), 0..12),
            after in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let forms = forms(&secret(&value));
            let redactor = of(&[&value]);
            for form in &forms {
                let text = [&before, form.as_bytes(), &after].concat();
                let whole = redactor.redact_bytes(&text).into_owned();
                for known in &forms {
                    let comes_out = whole.windows(known.len()).any(|window| window == known.as_bytes());
                    prop_assert!(!comes_out, "{known:?} of {form:?} in {:?}", String::from_utf8_lossy(&whole));
                }
                for at in 0..=text.len() {
                    prop_assert_eq!(&in_pieces(&redactor, [&text[..at], &text[at..]]), &whole, "cut at {}", at);
                }
                prop_assert_eq!(&in_pieces(&redactor, text.chunks(1)), &whole);
                prop_assert_eq!(&in_pieces(&redactor, text.chunks(3)), &whole);
            }
        }

        /// Of the characters that hold bits of a secret, no more than one at each side comes out, which a neighbour
        /// shares.
        #[test]
        fn base64_is_found_within_more(
            value in secrets(),
            before in proptest::collection::vec(any::<u8>(), 0..9),
            after in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
            let redactor = of(&[&value]);
            for encoding in [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD] {
                let text = encoding.encode(&[&before, value.as_bytes(), &after].concat());
                let redacted = redactor.redact(&text);
                let of_neighbours = (before.len() * 8).div_ceil(6) + (after.len() * 8).div_ceil(6);
                prop_assert!(redacted.len() <= of_neighbours + STARS.len() + 3, "{text} {redacted}");
            }
        }

        #[test]
        fn what_holds_no_secret_comes_out_as_it_is(
            value in secrets(),
            text in proptest::collection::vec(any::<u8>(), 0..200),
            size in 1_usize..20,
        ) {
            let forms = forms(&secret(&value));
            let holds = |form: &String| text.windows(form.len()).any(|window| window == form.as_bytes());
            prop_assume!(!forms.iter().any(holds));
            let redactor = of(&[&value]);
            prop_assert!(matches!(redactor.redact_bytes(&text), Cow::Borrowed(_)));
            prop_assert_eq!(in_pieces(&redactor, text.chunks(size)), text);
        }

        /// What is left of several secrets is what none of their places covers.
        #[test]
        fn overlapping_secrets_go_together(
            values in proptest::collection::vec("[ab]{4,6}", 1..5),
            text in "[abc]{0,60}",
            size in 1_usize..9,
        ) {
            let redactor = Redactor::of(&values.iter().map(|value| secret(value)).collect::<Vec<_>>());
            let mut covered = vec![false; text.len()];
            for value in &values {
                for at in 0..text.len().saturating_sub(value.len() - 1) {
                    if text[at..].starts_with(value.as_str()) {
                        covered[at..at + value.len()].fill(true);
                    }
                }
            }
            let kept: String = text.chars().zip(&covered).filter(|(_, covered)| !**covered).map(|(c, _)| c).collect();
            let redacted = redactor.redact(&text);
            prop_assert_eq!(redacted.replace('*', ""), kept);
            prop_assert_eq!(in_pieces(&redactor, text.as_bytes().chunks(size)), redacted.as_bytes());
        }
    }
}
