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
