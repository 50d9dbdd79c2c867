//! `tcp`: a connection to the port is accepted.

use std::time::Duration;

use encamp_core::Report;

use crate::inside::Inside;

pub(super) async fn attempt(inside: &Inside, port: u16, limit: Duration) -> Result<(), String> {
    inside
        .dial(port, limit)
        .await
        .map(drop)
        .map_err(|error| Report(&error).to_string())
}
