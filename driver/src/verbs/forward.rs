//! `encamp forward`: listens on loopback and dials inside the machine for each connection, through its provider.

use std::net::Ipv4Addr;
use std::sync::Arc;

use encamp::{Error, ErrorKind, Machine, Report};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::arguments::Forward;
use crate::codes;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Refusal, within};
use crate::interrupts::Interrupts;
use crate::{clean, output, place};

/// Connections at once; the next ones wait.
const CONNECTIONS: usize = 256;

/// A port of a machine and a port here; 0 for a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    port: u16,
    local: u16,
}

pub(super) async fn forward(cx: &Context, args: &Forward) -> Result<Exit, Failure> {
    let environment = place::environment(cx, &args.of).await?;
    let machine = place::machine(&environment, &args.machine)?;
    let mut listening = Vec::new();
    for text in &args.ports {
        let pair = read(text, &machine)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, pair.local))
            .await
            .map_err(|error| not_listening(pair.local, &error))?;
        let local = listener
            .local_addr()
            .map_err(|error| not_listening(pair.local, &error))?
            .port();
        listening.push((Pair { local, ..pair }, listener));
    }
    let mut interrupts = Interrupts::new()
        .map_err(|error| Error::new(ErrorKind::Internal, "signals cannot be listened for").caused_by(error))?;
    for (pair, _) in &listening {
        // What cannot be dialled at all is said before anybody connects; what does not listen yet may do so later.
        match machine.dial(pair.port).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return Err(within(environment.name())(error));
            }
            Err(error) => output::tell(&format!("{}: {}", machine.name(), why(&error))),
            Ok(_) => {}
        }
    }
    for (pair, _) in &listening {
        if cx.json {
            output::json(&json!({
                "event": "forward", "machine": machine.name(), "port": pair.port, "host": "127.0.0.1", "local": pair.local,
            }));
        } else {
            output::result(&format!("{}:{}   127.0.0.1:{}", machine.name(), pair.port, pair.local));
        }
    }
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut serving = JoinSet::new();
    for (pair, listener) in listening {
        serving.spawn(serve(machine.clone(), pair.port, listener, Arc::clone(&places)));
    }
    tokio::select! {
        _ = interrupts.next() => Ok(Exit::Interrupted),
        Some(ended) = serving.join_next() => {
            let why = ended.map_or_else(|error| error.to_string(), |error| error.to_string());
            Err(Error::new(ErrorKind::Internal, "connections are not accepted any more").caused_by(why).into())
        }
    }
}

/// Accepts for ever; what one connection meets is its own.
async fn serve(machine: Machine, port: u16, listener: TcpListener, places: Arc<Semaphore>) -> std::io::Error {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return std::io::Error::other("no place is left for connections");
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // The other side has gone again, or this process has too many files open: neither lasts.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return error,
        };
        let machine = machine.clone();
        tokio::spawn(async move {
            carry(&machine, port, stream).await;
            drop(place);
        });
    }
}

async fn carry(machine: &Machine, port: u16, mut here: TcpStream) {
    match machine.dial(port).await {
        Ok(mut inside) => drop(tokio::io::copy_bidirectional(&mut here, &mut inside).await),
        Err(error) => output::tell(&format!("{}: {}", machine.name(), why(&error))),
    }
}

fn why(error: &Error) -> String {
    clean::short_ids(&clean::line(&Report(error).to_string()))
}

/// `8080`, `http`, `8080:9000`, `http:9000`.
fn read(text: &str, machine: &Machine) -> Result<Pair, Failure> {
    let (port, local) = text
        .split_once(':')
        .map_or((text, None), |(port, local)| (port, Some(local)));
    let wrong = |what: &str| {
        let declared: Vec<String> = machine
            .declared_ports()
            .iter()
            .map(|port| format!("{} {}", port.name, port.port))
            .collect();
        let refusal = Refusal::new(codes::NO_SUCH, format!("`{}` is no port {what}", clean::line(text)));
        let refusal = if declared.is_empty() {
            refusal
        } else {
            refusal.why(format!("declared are {}", declared.join(", ")))
        };
        Failure::from(refusal.help("encamp forward web 8080, or encamp forward web http:9000"))
    };
    let declared = machine.declared_ports();
    let named = declared.iter().find(|declared| declared.name.as_str() == port);
    let port = match named {
        Some(declared) => declared.port,
        None => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| wrong("of the machine"))?,
    };
    let local = match local {
        Some(local) => local.parse().map_err(|_| wrong("of this host"))?,
        None => 0,
    };
    Ok(Pair { port, local })
}

fn not_listening(port: u16, error: &std::io::Error) -> Failure {
    let refusal = Refusal::new(codes::LISTEN, format!("port {port} of this host cannot be listened on"));
    let refusal = refusal.why(error.to_string());
    refusal.help("leave `:LOCAL` out to get a free port").into()
}
