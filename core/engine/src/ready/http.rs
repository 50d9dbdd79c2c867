//! `http`: a request to the port is answered with a status.

use std::time::Duration;

use encamp_core::Report;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;

use crate::inside::Inside;

/// Bytes of a refusing answer that a message shows.
const SHOWN: usize = 120;
/// Bytes of an answer that are read at most.
const READ: usize = 64 << 10;

pub(super) async fn attempt(
    inside: &Inside,
    port: u16,
    path: &str,
    wanted: Option<u16>,
    limit: Duration,
) -> Result<(), String> {
    let connection = inside
        .dial(port, limit)
        .await
        .map_err(|error| Report(&error).to_string())?;
    let (mut sender, driver) = http1::handshake::<_, Empty<bytes::Bytes>>(TokioIo::new(connection))
        .await
        .map_err(|e| e.to_string())?;
    let request = Request::get(path)
        .header(header::HOST, format!("{}:{port}", inside.machine))
        .header(header::CONNECTION, "close")
        .header(header::USER_AGENT, "encamp")
        .body(Empty::new())
        .map_err(|e| format!("`{path}` is no path: {e}"))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), READ)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        Ok::<_, String>((status, body))
    };
    let mut exchange = std::pin::pin!(exchange);
    // A server that closes at once ends the driver with the answer still on its way to us.
    let (status, body): (StatusCode, bytes::Bytes) = tokio::select! {
        biased;
        answer = &mut exchange => answer,
        ended = driver => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }?;
    let good = match wanted {
        Some(wanted) => status.as_u16() == wanted,
        None => status.is_success() || status.is_redirection(),
    };
    if good {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&body);
    let first: String = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("")
        .chars()
        .take(SHOWN)
        .collect();
    Err(if first.is_empty() {
        status.as_u16().to_string()
    } else {
        format!("{} \"{first}\"", status.as_u16())
    })
}
