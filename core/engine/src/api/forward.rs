//! Ports of machines, where this process dials them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use encamp_core::{Error, ErrorKind, Report, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, JoinSet};

use super::machine::Machine;
use super::runtime::Engine;

/// Where a port of a machine is dialled from this process; as text `host:port`.
#[derive(Debug, Clone)]
pub struct Endpoint {
    host: String,
    port: u16,
    /// Kept open as long as somebody has this.
    _forward: Option<Arc<Forward>>,
}

impl Endpoint {
    /// The host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The forwards of an environment, by machine and port.
#[derive(Debug, Default)]
pub(super) struct Forwards(Mutex<BTreeMap<(String, u16), Arc<Forward>>>);

/// A listener on loopback. It goes with its last owner, and its connections with it.
#[derive(Debug)]
struct Forward {
    at: SocketAddr,
    serving: AbortHandle,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Forwards {
    pub(super) async fn endpoint(self: &Arc<Self>, engine: &Engine, machine: &Machine, port: &str) -> Result<Endpoint> {
        let declared = machine.declared_ports();
        let Some(declared) = declared.iter().find(|declared| declared.name.as_str() == port) else {
            let known: Vec<&str> = declared.iter().map(|declared| declared.name.as_str()).collect();
            return Err(
                Error::new(ErrorKind::NotFound, format!("it declares no port called `{port}`"))
                    .of_machine(machine.name())
                    .of_environment(machine.environment())
                    .with("its ports", known.join(" ")),
            );
        };
        let number = declared.port;
        // Where it is published now: a machine that was started again may have got another number.
        let seen = machine.inspect().await?;
        if let Some(published) = seen.ports.iter().find(|published| published.port == number) {
            return Ok(Endpoint {
                host: published.host.clone(),
                port: published.host_port,
                _forward: None,
            });
        }
        let (forwards, machine) = (Arc::clone(self), machine.clone());
        let forward = engine
            .run(async move { forwards.forward(machine, number).await })
            .await?;
        Ok(Endpoint {
            host: forward.at.ip().to_string(),
            port: forward.at.port(),
            _forward: Some(forward),
        })
    }

    async fn forward(&self, machine: Machine, port: u16) -> Result<Arc<Forward>> {
        let mut open = self.0.lock().await;
        let key = (machine.name().to_owned(), port);
        if let Some(forward) = open.get(&key) {
            return Ok(Arc::clone(forward));
        }
        // What cannot be dialled at all is said before anybody connects.
        if let Err(error) = machine.dial(port).await
            && error.kind() == ErrorKind::Unsupported
        {
            return Err(error);
        }
        let listening = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let at = listener.local_addr()?;
            Ok::<_, std::io::Error>((listener, at))
        };
        let (listener, at) = listening
            .await
            .map_err(|e| Error::new(ErrorKind::Unavailable, "no port of this host can be listened on").caused_by(e))?;
        let serving = tokio::spawn(serve(machine, port, listener)).abort_handle();
        let forward = Arc::new(Forward { at, serving });
        open.insert(key, Arc::clone(&forward));
        Ok(forward)
    }
}

async fn serve(machine: Machine, port: u16, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((here, _)) => drop(connections.spawn(carry(machine.clone(), port, here))),
            // The other side has gone again, or this process has too many files open.
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(machine: Machine, port: u16, mut here: TcpStream) {
    match machine.dial(port).await {
        Ok(mut inside) => drop(tokio::io::copy_bidirectional(&mut here, &mut inside).await),
        Err(error) => tracing::debug!(machine = machine.name(), error = %Report(&error), "not dialled"),
    }
}
