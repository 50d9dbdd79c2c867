//! Downloads, in a build that has no client for them.

use std::path::Path;

use encamp_core::{Ambient, Error, ErrorKind, Result};

pub(super) async fn download(_: &Ambient, url: &str, _: &Path) -> Result<String> {
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("{url} cannot be fetched: this build has no client for it"),
    )
    .next_step("build `encamp` with its feature `fetch`"))
}
