//! Connections through a host: onwards from it, and back from it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use encamp_core::{Accept, Cx, Dial, Duplex, Error, ErrorKind, Listen, Result, Retry};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::{self, Failure};
use crate::host::{Host, Lease};
use crate::transport::Refused;
use crate::within::within;

/// What is meant where no address is given.
const LOOPBACK: &str = "127.0.0.1";
/// Connections that are tried where one turns out to be broken.
const TRIED_MAX: u32 = 3;

/// Connects from the host.
pub(crate) async fn dial(host: &Host, cx: &Cx, a: &Dial) -> Result<Duplex> {
    let to = a.host.as_deref().unwrap_or(LOOPBACK);
    let dialled = async {
        let mut words = String::new();
        for _ in 0..TRIED_MAX {
            let lease = host.pools.lines.lease(cx).await?;
            match lease.connection.dial(to, a.port).await {
                Ok(line) => return Ok(Box::pin(Held { line, _lease: lease }) as Duplex),
                Err(Refused::Denied(why)) => return Err(not_there(host, to, a.port, &why)),
                Err(Refused::Sessions) => {
                    host.pools.lines.is_full(lease);
                }
                Err(Refused::Broken(why)) => words = why,
            }
        }
        Err(Failure::Other { why: words }.translate(host.access(), &[]))
    };
    let late = || {
        let why = format!("no connection to {to}:{} before the deadline", a.port);
        Failure::Route { why }.translate(host.access(), &[])
    };
    within(cx, dialled, late).await
}

fn not_there(host: &Host, to: &str, port: u16, why: &str) -> Error {
    let at = error::place(host.access());
    if why.contains("administratively prohibited") {
        return Error::new(ErrorKind::Unauthorized, format!("{at} lets nobody connect onwards"))
            .with("host", at)
            .next_step("allow it in the host's sshd_config: `AllowTcpForwarding yes`");
    }
    Error::new(
        ErrorKind::Unavailable,
        format!("{at} does not reach {to}:{port}: {}", why.to_lowercase()),
    )
    .retry(Retry::Safe)
    .with("host", at)
    .next_step(format!("does something listen at {to}:{port} there?"))
}

/// Listens on the host.
pub(crate) async fn listen(host: &Arc<Host>, cx: &Cx, a: &Listen) -> Result<Box<dyn Accept>> {
    within(cx, listen_patiently(host, cx, a), || host.silent()).await
}

async fn listen_patiently(host: &Host, cx: &Cx, a: &Listen) -> Result<Box<dyn Accept>> {
    let on = a.host.as_deref().unwrap_or(LOOPBACK);
    let at = error::place(host.access());
    for _ in 0..TRIED_MAX {
        let lease = host.pools.lines.lease(cx).await?;
        match lease.connection.listen(on, a.port).await {
            Ok(accept) => return Ok(Box::new(Listening { accept, _lease: lease })),
            Err(Refused::Denied(why)) => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("{at} does not listen on {on}:{}: {why}", a.port),
                )
                .with("host", at)
                .next_step(
                    "is the port taken there? sshd must say `AllowTcpForwarding yes`, and `GatewayPorts \
                         clientspecified` for other addresses than loopback",
                ));
            }
            Err(Refused::Sessions) => {
                host.pools.lines.is_full(lease);
            }
            Err(Refused::Broken(_)) => {}
        }
    }
    Err(Failure::Other {
        why: "its connections break".to_owned(),
    }
    .translate(host.access(), &[]))
}

struct Listening {
    accept: Box<dyn Accept>,
    _lease: Lease,
}

#[async_trait]
impl Accept for Listening {
    async fn accept(&mut self) -> Result<Duplex> {
        self.accept.accept().await
    }
}

/// A line, and the right to it.
struct Held {
    line: Duplex,
    _lease: Lease,
}

impl AsyncRead for Held {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        self.line.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Held {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        self.line.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.line.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.line.as_mut().poll_shutdown(cx)
    }
}
