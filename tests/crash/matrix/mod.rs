//! Killed before and after each commit and each send of `run`, `up` and `down`, and again while the next command
//! mends it.

mod story;

use std::collections::{BTreeSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::story::{Story, Told, Verb};
use crate::clock;
use crate::decoys::Decoys;
use crate::dice::Dice;
use crate::installation::Identity;

/// Wall budget. Killing once at every place and the floor of killing twice take what they take; the rest ends then.
const BUDGET: Duration = Duration::from_mins(4);
/// Stories at the same time, each lane with an identity of its own.
const LANES: usize = 3;
/// Distinct places of the three commands.
const FLOOR_PLACES: usize = 90;
/// Kills while another kill is mended.
const FLOOR_AGAIN: usize = 40;
/// How often a story is told whose place was not reached, because something came in another order.
const TRIES: usize = 3;
/// A suite that is broken at its root says so soon.
const BROKEN_MAX: usize = 5;

/// What is still to be told, and what was.
struct Book {
    first: VecDeque<Story>,
    again: Vec<Story>,
    open: usize,
    dice: Dice,
    told: Vec<Told>,
    missed: Vec<Story>,
    broken: Vec<String>,
}

#[test]
fn crash_matrix() {
    // One place alone, to look at it: CRASH_ONLY=up:send.create.db.after cargo nextest run crash_matrix
    let only = variable("CRASH_ONLY");
    let seed = variable("CRASH_SEED").map_or(1, |text| text.parse().expect("a seed is a number"));
    let began = clock::now();
    let identities: Vec<Identity> = (0..LANES).map(|_| Identity::new()).collect();
    let mut stories = story::all(&identities[0]);
    let places: BTreeSet<&str> = stories.iter().map(|story| story.point.as_str()).collect();
    let (points, names) = (stories.len(), places.len());
    let of = |verb: Verb| stories.iter().filter(|story| story.verb == verb).count();
    println!(
        "{points} places: {} of run, {} of up, {} of down; {names} distinct names",
        of(Verb::Run),
        of(Verb::Up),
        of(Verb::Down)
    );
    if let Some(only) = &only {
        stories.retain(|story| story.name() == *only);
        assert!(!stories.is_empty(), "there is no {only}");
    }
    let wanted = stories.len();
    let mut dice = Dice::new(seed);
    dice.shuffle(&mut stories);
    let book = Mutex::new(Book {
        first: stories.into(),
        again: Vec::new(),
        open: 0,
        dice,
        told: Vec::new(),
        missed: Vec::new(),
        broken: Vec::new(),
    });
    std::thread::scope(|scope| {
        for identity in &identities {
            scope.spawn(|| lane(&book, identity, began));
        }
    });
    let book = book.into_inner().unwrap_or_else(PoisonError::into_inner);
    let again = book.killed_again();
    let once = book.told.len() - again;
    println!(
        "{once} of {wanted} killed once, {again} killed again while that was mended (of {} ways, seed {seed}), in {:.0?}",
        book.again.len() + again,
        began.elapsed()
    );
    assert!(book.broken.is_empty(), "\n{}", book.broken.join("\n"));
    let missed: Vec<String> = book.missed.iter().map(Story::name).collect();
    assert!(once == wanted, "not reached within {TRIES} tries: {missed:?}");
    if only.is_none() {
        assert!(
            names >= FLOOR_PLACES,
            "{names} places are too few: does the trace still work?"
        );
        assert!(
            again >= FLOOR_AGAIN,
            "{again} kills at depth two are too few for a machine of this kind"
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a test may be told what to look at")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn lane(book: &Mutex<Book>, identity: &Identity, began: Instant) {
    let decoys = Decoys::beside(identity);
    loop {
        let story = {
            let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
            match book.next(began) {
                Next::Story(story) => story,
                Next::Wait => {
                    drop(book);
                    clock::pause();
                    continue;
                }
                Next::End => break,
            }
        };
        let told = std::panic::catch_unwind(AssertUnwindSafe(|| story::tell(&story, identity, &decoys)));
        let outcome = told.unwrap_or_else(|_| Err("it panicked, see above".into()));
        book.lock().unwrap_or_else(PoisonError::into_inner).take(story, outcome);
    }
}

enum Next {
    Story(Story),
    /// Another lane's story may bring more.
    Wait,
    End,
}

impl Book {
    fn killed_again(&self) -> usize {
        self.told.iter().filter(|told| told.again.is_some()).count()
    }

    fn next(&mut self, began: Instant) -> Next {
        if self.broken.len() >= BROKEN_MAX {
            return Next::End;
        }
        let story = match self.first.pop_front() {
            Some(story) => story,
            None if began.elapsed() > BUDGET && self.killed_again() >= FLOOR_AGAIN => return Next::End,
            None if self.again.is_empty() && self.open > 0 => return Next::Wait,
            None if self.again.is_empty() => return Next::End,
            None => {
                let at = self.dice.below(self.again.len());
                self.again.swap_remove(at)
            }
        };
        self.open += 1;
        Next::Story(story)
    }

    fn take(&mut self, mut story: Story, outcome: Result<Option<Told>, String>) {
        self.open -= 1;
        match outcome {
            Ok(Some(told)) => {
                if told.again.is_none() {
                    self.again.extend(told.ways.iter().map(|point| story.again(point)));
                }
                self.told.push(told);
            }
            Ok(None) if story.again.is_some() => {}
            Ok(None) => {
                story.tries += 1;
                if story.tries < TRIES {
                    self.first.push_back(story);
                } else {
                    self.missed.push(story);
                }
            }
            Err(broken) => self.broken.push(format!("{}: {broken}", story.name())),
        }
    }
}
