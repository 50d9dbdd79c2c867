//! Connections into containers, and what their main process says.

use std::time::Duration;

use bollard::query_parameters::LogsOptions;
use encamp_core::{BoxRead, Cx, Dial, Duplex, Error, ErrorKind, Logs, Phase, Result, Retry, Time, Verb};
use futures_util::{StreamExt, TryStreamExt};
use tokio::net::TcpStream;
use tokio_util::io::StreamReader;

use super::Engine;
use crate::convert::observed;

/// How long one address may take to answer: all of them are a bridge away.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

impl Engine {
    /// Connects to a port by the container's own address.
    pub(crate) async fn dial(&self, cx: &Cx, request: &Dial) -> Result<Duplex> {
        let itself =
            |host: &str| matches!(host, "127.0.0.1" | "localhost" | "::1") || host == request.target.stamp.object();
        if !self.learnt.dials || !request.host.as_deref().is_none_or(itself) {
            return Err(Error::unsupported(Verb::Dial).with("why", "only a container's own address can be dialled"));
        }
        let seen = observed(&self.own(cx, &request.target).await?, &self.reach());
        if seen.phase != Phase::Running {
            return Err(unanswered(request, "the machine is not running"));
        }
        let mut last = unanswered(request, "the machine has no address");
        for addr in seen.addrs {
            let connect = TcpStream::connect((addr.host.as_str(), request.port));
            let within = DIAL_TIMEOUT.min(cx.remaining());
            match tokio::time::timeout(within, connect).await {
                Ok(Ok(stream)) => return Ok(Box::pin(stream)),
                Ok(Err(native)) => last = unanswered(request, native).with("address", addr.host),
                Err(_) => last = unanswered(request, "no answer in time").with("address", addr.host),
            }
        }
        Err(last)
    }

    /// What the main process said, both of its streams in the order in which the engine got them.
    pub(crate) async fn logs(&self, cx: &Cx, request: &Logs) -> Result<BoxRead> {
        let container = self.own(cx, &request.target).await?;
        let id = container.id.unwrap_or_default();
        let since = request.since.map(seconds_and_rest);
        let options = LogsOptions {
            follow: request.follow,
            stdout: true,
            stderr: true,
            since: since.as_ref().map_or(0, |(seconds, _)| *seconds),
            until: 0,
            timestamps: false,
            tail: request.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string()),
        };
        // The client's type has whole seconds only; the engine takes fractions.
        let docker = match since {
            None => self.docker.clone(),
            Some((seconds, exact)) => self.docker.clone().with_request_modifier(move |mut sent| {
                let coarse = format!("since={seconds}");
                if let Ok(uri) = sent
                    .uri()
                    .to_string()
                    .replacen(&coarse, &format!("since={exact}"), 1)
                    .parse()
                {
                    *sent.uri_mut() = uri;
                }
                sent
            }),
        };
        let stream = docker.logs(&id, Some(options));
        let stream = stream
            .map_ok(bollard::container::LogOutput::into_bytes)
            .map_err(std::io::Error::other)
            .boxed();
        Ok(Box::pin(StreamReader::new(stream)))
    }
}

/// Whole seconds since 1970, and the same with milliseconds.
fn seconds_and_rest(time: Time) -> (i32, String) {
    let millis = time.unix_millis().max(0);
    let seconds = millis / 1000;
    (
        i32::try_from(seconds).unwrap_or(i32::MAX),
        format!("{seconds}.{:03}", millis % 1000),
    )
}

fn unanswered(request: &Dial, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let machine = request.target.stamp.object().to_owned();
    Error::new(
        ErrorKind::Unavailable,
        format!("nothing answers on port {} of {machine}", request.port),
    )
    .retry(Retry::Safe)
    .of_machine(machine)
    .caused_by(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_keeps_its_milliseconds() {
        let time = Time::parse("2026-01-01T00:00:00.05Z").unwrap();
        assert_eq!(seconds_and_rest(time), (1_767_225_600, "1767225600.050".to_owned()));
    }
}
