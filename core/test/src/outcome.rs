//! What a test may come to.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt::Debug;

use encamp::{Error, Report};

/// What a test function gives.
#[diagnostic::on_unimplemented(message = "a test of encamp gives `()` or a `Result`, and not `{Self}`")]
pub trait Outcome {
    /// Why it failed, if it did.
    fn failure(&self) -> Option<String>;
}

impl Outcome for () {
    fn failure(&self) -> Option<String> {
        None
    }
}

impl<T, E: Debug + 'static> Outcome for Result<T, E> {
    fn failure(&self) -> Option<String> {
        self.as_ref().err().map(|error| told(error))
    }
}

fn told<E: Debug + 'static>(error: &E) -> String {
    let any: &dyn Any = error;
    if let Some(error) = any.downcast_ref::<Error>() {
        return whole(error);
    }
    if let Some(error) = any.downcast_ref::<Box<dyn StdError>>() {
        return of_chain(error.as_ref());
    }
    if let Some(error) = any.downcast_ref::<Box<dyn StdError + Send + Sync>>() {
        return of_chain(error.as_ref());
    }
    format!("{error:?}")
}

fn of_chain(error: &(dyn StdError + 'static)) -> String {
    match error.downcast_ref::<Error>() {
        Some(error) => whole(error),
        None => Report(error).to_string(),
    }
}

/// An error with all that it knows: a line for itself, one for each fact, and what to do next.
pub(crate) fn whole(error: &Error) -> String {
    let mut lines = vec![match (error.environment(), error.machine()) {
        (Some(environment), Some(machine)) => format!("{environment} {machine}: {}", Report(error)),
        (None, Some(of)) | (Some(of), None) => format!("{of}: {}", Report(error)),
        (None, None) => Report(error).to_string(),
    }];
    for (key, value) in error.context() {
        for line in value.lines() {
            lines.push(format!("  {key}: {line}"));
        }
    }
    lines.extend(error.hint().map(|hint| format!("  next: {hint}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use encamp::ErrorKind;

    use super::*;

    fn error() -> Error {
        Error::new(ErrorKind::Unavailable, "it is not ready")
            .of_machine("db")
            .with("said", "one\ntwo")
            .next_step("wait")
    }

    #[test]
    fn an_error_tells_all_that_it_knows() {
        let expected = "db: it is not ready\n  said: one\n  said: two\n  next: wait";
        assert_eq!(Err::<(), _>(error()).failure().as_deref(), Some(expected));
        let boxed: Box<dyn StdError> = error().into();
        assert_eq!(Err::<(), _>(boxed).failure().as_deref(), Some(expected));
        let boxed: Box<dyn StdError + Send + Sync> = "another".into();
        assert_eq!(Err::<(), _>(boxed).failure().as_deref(), Some("another"));
        assert_eq!(Err::<(), _>(7).failure().as_deref(), Some("7"));
        assert_eq!(Ok::<_, Error>(()).failure(), None);
    }
}
