//! Connections: machines are in this host's network.

use std::net::Ipv4Addr;

use encamp_core::{Dial, Duplex, Error, ErrorKind, Phase, Result, Retry};
use tokio::net::TcpStream;

use super::Host;
use crate::error::not_running;

impl Host {
    /// Connects to a port as the machine itself would.
    pub(crate) async fn dial(&self, dial: &Dial) -> Result<Duplex> {
        let sandbox = self.own(&dial.target)?;
        if self.phase(&sandbox)? != Phase::Running {
            return Err(not_running(dial.target.stamp.object(), "is not running"));
        }
        let loopback = Ipv4Addr::LOCALHOST.to_string();
        let host = dial.host.clone().unwrap_or(loopback);
        match TcpStream::connect((host.as_str(), dial.port)).await {
            Ok(stream) => Ok(Box::pin(stream)),
            Err(native) => Err(Error::new(ErrorKind::Unavailable, "nothing answers on this port")
                .retry(Retry::Safe)
                .with("address", format!("{host}:{}", dial.port))
                .caused_by(native)),
        }
    }
}
