//! TLS, in a build that speaks none.

use bollard::Docker;
use encamp_core::{Error, ErrorKind, Result};

use super::tls::Tls;

impl Tls {
    #[expect(
        clippy::unused_self,
        reason = "it stands in the place of one that looks at its files"
    )]
    pub(super) fn client(&self, authority: &str) -> Result<Docker> {
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("{authority} wants TLS, which this build does not speak"),
        )
        .next_step("build `encamp` with its feature `tls`"))
    }
}
