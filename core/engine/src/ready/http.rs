//! `http`: a request to the port is answered with a status.

use std::time::Duration;

use encamp_core::{Report, Value};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Map;

use crate::inside::Inside;

/// Bytes of a refusing answer that a message shows.
const SHOWN: usize = 120;
/// Bytes of an answer that are read at most.
const READ: usize = 64 << 10;

/// What is asked for, and what the answer must be.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) port: u16,
    pub(super) path: String,
    /// Any of 200 to 399 where none is given.
    pub(super) status: Option<u16>,
    /// Keys that the answer must have with these values.
    pub(super) json: Option<&'a Map<String, Value>>,
}

pub(super) async fn attempt(inside: &Inside, wanted: &Wanted<'_>, limit: Duration) -> Result<(), String> {
    let (port, path) = (wanted.port, wanted.path.as_str());
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
    let good = match wanted.status {
        Some(wanted) => status.as_u16() == wanted,
        None => status.is_success() || status.is_redirection(),
    };
    if good {
        return wanted.json.map_or(Ok(()), |json| has(&body, json));
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

/// Whether a JSON object has these keys with these values; objects within it likewise.
fn has(body: &[u8], wanted: &Map<String, Value>) -> Result<(), String> {
    let Ok(Value::Object(found)) = serde_json::from_slice(body) else {
        return Err("its answer is no JSON object".to_owned());
    };
    contains(&found, wanted, "")
}

fn contains(found: &Map<String, Value>, wanted: &Map<String, Value>, path: &str) -> Result<(), String> {
    for (key, value) in wanted {
        let at = format!("{path}{key}");
        match (found.get(key), value) {
            (Some(Value::Object(found)), Value::Object(wanted)) => contains(found, wanted, &format!("{at}."))?,
            (Some(found), wanted) if found == wanted => {}
            (Some(found), wanted) => {
                let shown: String = found.to_string().chars().take(SHOWN).collect();
                return Err(format!("`{at}` is {shown}, not {wanted}"));
            }
            (None, _) => return Err(format!("its answer has no `{at}`")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_has_what_is_wanted_of_it() {
        let body = br#"{"status":"ok","db":{"up":true,"lag":3},"n":1}"#;
        let holds = |wanted: Value| has(body, wanted.as_object().unwrap());
        assert_eq!(holds(json!({"status": "ok", "db": {"up": true}})), Ok(()));
        assert_eq!(holds(json!({"db": {"lag": 0}})).unwrap_err(), "`db.lag` is 3, not 0");
        assert_eq!(holds(json!({"ready": true})).unwrap_err(), "its answer has no `ready`");
        assert!(has(b"<html>", &Map::new()).is_err());
    }
}
