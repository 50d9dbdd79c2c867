//! Sessions that a host plays as it is told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use encamp_core::{Accept, Cx, Duplex, Exec, Exit, Key, Labels, Site, SshAccess, Stamp, Target, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore};

use crate::error::Failure;
use crate::host::{Host, Pools};
use crate::transport::{Channel, Connection, End, Refused, Route, Transport};

/// What becomes of a session.
#[derive(Debug, Clone, Copy)]
enum Play {
    /// It takes its script, and its connection breaks.
    Breaks,
    /// The connection takes no further one.
    Full,
    /// It says that the command has ended well.
    Ends,
}

#[derive(Debug, Default)]
struct Stage {
    plays: Mutex<VecDeque<Play>>,
    /// The scripts that were taken.
    scripts: Mutex<Vec<String>>,
    broke: Notify,
}

#[derive(Debug)]
struct Staged(Arc<Stage>);

#[async_trait]
impl Transport for Staged {
    async fn connect(&self, _: &Cx, _: &Route, _: Option<Arc<dyn Connection>>) -> Result<Arc<dyn Connection>, Failure> {
        Ok(Arc::new(Played {
            stage: Arc::clone(&self.0),
            stands: Arc::new(AtomicBool::new(true)),
        }))
    }
}

#[derive(Debug)]
struct Played {
    stage: Arc<Stage>,
    stands: Arc<AtomicBool>,
}

#[async_trait]
impl Connection for Played {
    async fn open(&self, command: &str, _: bool, _: bool) -> Result<Channel, Refused> {
        let play = self.stage.plays.lock().unwrap().pop_front().unwrap();
        let length = command.split_once("bs=").unwrap().1.split_once(' ').unwrap().0;
        let length: usize = length.parse().unwrap();
        let (stdin, mut script) = tokio::io::duplex(1 << 20);
        let (stdout, _) = tokio::io::duplex(1024);
        let (stderr, mut says) = tokio::io::duplex(1024);
        let (stage, stands) = (Arc::clone(&self.stage), Arc::clone(&self.stands));
        if !matches!(play, Play::Full) {
            tokio::spawn(async move {
                let mut text = vec![0; length];
                script.read_exact(&mut text).await.unwrap();
                let text = String::from_utf8(text).unwrap();
                let id = text.lines().next().unwrap().strip_prefix("id=").unwrap().to_owned();
                stage.scripts.lock().unwrap().push(text);
                if matches!(play, Play::Breaks) {
                    stands.store(false, Ordering::Release);
                    stage.broke.notify_one();
                    return;
                }
                for word in ["bx", "sx /run", "x0", "o0", "e0"] {
                    let word = format!("\u{1e}encamp-{id}:{word}\u{1e}");
                    says.write_all(word.as_bytes()).await.unwrap();
                }
            });
        }
        Ok(Channel {
            stdin: Box::pin(stdin),
            stdout: Box::pin(stdout),
            stderr: Box::pin(stderr),
            end: Box::pin(async move {
                End {
                    refused: matches!(play, Play::Full),
                    ..End::default()
                }
            }),
        })
    }

    async fn dial(&self, _: &str, _: u16) -> Result<Duplex, Refused> {
        Err(Refused::Sessions)
    }

    async fn listen(&self, _: &str, _: u16) -> Result<Box<dyn Accept>, Refused> {
        Err(Refused::Sessions)
    }

    fn stands(&self) -> bool {
        self.stands.load(Ordering::Acquire)
    }
}

fn host(plays: impl IntoIterator<Item = Play>) -> (Arc<Stage>, Arc<Host>) {
    let stage = Arc::new(Stage::default());
    stage.plays.lock().unwrap().extend(plays);
    let route = Route {
        access: SshAccess::new("h", "u", vec![]),
        host_keys: Vec::new(),
        key: None,
        keepalive: Duration::from_secs(15),
    };
    let transport = Arc::new(Staged(Arc::clone(&stage)));
    let access = route.access.clone();
    let pools = Pools::new(route, transport, None, Arc::new(Semaphore::new(1)));
    let host = Host::new(access, Arc::new(pools));
    (stage, Arc::new(host))
}

fn request() -> Exec {
    let stamp = Stamp::new(Key::new("k"), Token::new("t"), Labels::new());
    Exec::new(Target::new(stamp, Site::new("ssh:x"), None), ["true"])
}

#[tokio::test]
async fn a_full_connection_during_a_search_begins_nothing_anew() {
    let (stage, host) = host([Play::Breaks, Play::Full, Play::Ends]);
    let cx = Cx::within(Duration::from_secs(20));
    let held = async {
        stage.broke.notified().await;
        // Somebody else has a session on the next connection, so that it is not one that takes none at all.
        host.pools.work.lease(&cx).await.unwrap()
    };
    let started = super::start(Arc::clone(&host), &cx, request(), Duration::from_secs(20));
    let (started, _held) = tokio::join!(started, held);
    assert_eq!(started.unwrap().control.wait().await.unwrap(), Exit::Code(0));
    let scripts = stage.scripts.lock().unwrap();
    let attaches: Vec<_> = scripts.iter().map(|script| script.contains("had_o=0")).collect();
    assert_eq!(attaches, [false, true], "the command was begun once");
}
