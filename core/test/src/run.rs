//! A test from its beginning until its environments are gone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::time::Duration;

use encamp::Report;
use tokio::time::timeout;

use crate::camp::Camp;
use crate::helper::Here;
use crate::outcome::Outcome;
use crate::tell;

/// What the attribute knows of a test.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// Its module, from the name of the program on.
    pub module: &'static str,
    /// Its name.
    pub name: &'static str,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

impl Test {
    /// The name by which the harness runs it.
    pub(crate) fn full_name(&self) -> String {
        match self.module.split_once("::") {
            Some((_, module)) => format!("{module}::{}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// Runs a test on a runtime of its own.
///
/// # Panics
/// With what the test panicked with; where it takes too long; and where the state folder cannot be opened.
pub fn run<H: Here, T: Outcome>(test: Test, body: impl AsyncFnOnce(&Camp) -> T) -> T {
    let camp = match Camp::open(H::SETUP, test) {
        Ok(camp) => camp,
        Err(error) => panic!("no environments for this test: {}", Report(&error)),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime for this test: {error}"),
    };
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(within(&camp, body))));
    let why = match &ended {
        Ok(Ok(value)) => value.failure(),
        Ok(Err(late)) => Some(late.clone()),
        Err(_) => Some("it panicked, as told above".to_owned()),
    };
    runtime.block_on(async {
        if let Some(why) = &why {
            tell::failure(&camp, why).await;
        }
        tell::let_go(&camp, why.is_some()).await;
    });
    match ended {
        Ok(Ok(value)) => value,
        Ok(Err(late)) => panic!("`{}`: {late}", test.full_name()),
        Err(panic) => resume_unwind(panic),
    }
}

/// What the test gives, or that it took too long.
async fn within<T>(camp: &Camp, body: impl AsyncFnOnce(&Camp) -> T) -> Result<T, String> {
    let mut body = pin!(body(camp));
    let Some(limit) = camp.test.timeout else {
        return Ok(body.await);
    };
    if let Ok(value) = timeout(limit, body.as_mut()).await {
        return Ok(value);
    }
    // While it is still there: what it is about to bring up goes with it.
    tell::coming(camp).await;
    Err(format!("it did not end within {limit:?}"))
}
