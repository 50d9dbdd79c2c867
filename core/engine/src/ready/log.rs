//! `log`: a line of the machine's log matches.

use std::time::Duration;

use encamp_core::{Cx, Logs, Report};
use regex::Regex;
use tokio::io::AsyncReadExt;

use crate::inside::Inside;

/// Bytes of a log that are looked at: its end.
const LOOKED_AT: usize = 4 << 20;

pub(super) async fn attempt(inside: &Inside, pattern: &str, limit: Duration) -> Result<(), String> {
    let wanted = Regex::new(pattern).map_err(|e| format!("`{pattern}` is no pattern: {e}"))?;
    let logs = Logs::new(inside.target.clone());
    let mut stream = inside
        .provider
        .logs(&Cx::within(limit), logs)
        .await
        .map_err(|error| Report(&error).to_string())?;
    let mut said = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(read) => said.extend_from_slice(&buffer[..read]),
            Err(error) => return Err(error.to_string()),
        }
        if said.len() > 2 * LOOKED_AT {
            said.drain(..said.len() - LOOKED_AT);
        }
    }
    let text = String::from_utf8_lossy(&said);
    if text.lines().any(|line| wanted.is_match(line)) {
        Ok(())
    } else {
        Err(format!("none of {} lines matches", text.lines().count()))
    }
}
