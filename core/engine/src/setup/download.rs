//! Downloads.

use std::path::Path;
use std::time::Duration;

use encamp_core::{Ambient, Error, ErrorKind, Result, Retry};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::fetch::unwritable;
use super::hash;

/// Bytes that a file from the network may have.
const LARGEST: u64 = 16 << 30;

/// Writes what is at an address into a file, and gives its hash.
pub(super) async fn download(ambient: &Ambient, url: &str, into: &Path) -> Result<String> {
    let failed = |e: reqwest::Error| {
        // What its server does not have, or does not give, will not be there a moment later.
        let (kind, retry) = match e.status().map(|status| status.as_u16()) {
            Some(401 | 403) => (ErrorKind::Unauthorized, Retry::Never),
            Some(408 | 429) | None => (ErrorKind::Unavailable, Retry::Safe),
            Some(400..=499) => (ErrorKind::NotFound, Retry::Never),
            Some(_) => (ErrorKind::Unavailable, Retry::Safe),
        };
        Error::new(kind, format!("{url} cannot be fetched"))
            .retry(retry)
            .with("url", url)
            .caused_by(e.without_url())
    };
    let mut answer = client(ambient)?
        .get(url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(failed)?;
    let mut file = tokio::fs::File::create(into).await.map_err(unwritable(into))?;
    let (mut hash, mut size) = (Sha256::new(), 0);
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        size += chunk.len() as u64;
        if size > LARGEST {
            return Err(Error::new(
                ErrorKind::Quota,
                format!("{url} is larger than {LARGEST} bytes"),
            ));
        }
        hash.update(&chunk);
        file.write_all(&chunk).await.map_err(unwritable(into))?;
    }
    file.flush().await.map_err(unwritable(into))?;
    Ok(hash::hex(hash))
}

/// A client that goes through the proxies that the surrounding process names, if it may be asked.
fn client(ambient: &Ambient) -> Result<reqwest::Client> {
    let unusable = |e: reqwest::Error| {
        Error::new(ErrorKind::Invalid, "the proxy that the variables name cannot be used").caused_by(e)
    };
    let named = |name: &str| {
        ambient
            .variable(name)
            .or_else(|| ambient.variable(&name.to_ascii_uppercase()))
    };
    let except = named("no_proxy").and_then(reqwest::NoProxy::from_string);
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(20))
        .user_agent("encamp");
    if let Some(proxy) = named("http_proxy") {
        builder = builder.proxy(reqwest::Proxy::http(proxy).map_err(unusable)?.no_proxy(except.clone()));
    }
    if let Some(proxy) = named("https_proxy") {
        builder = builder.proxy(reqwest::Proxy::https(proxy).map_err(unusable)?.no_proxy(except));
    }
    builder.build().map_err(unusable)
}
