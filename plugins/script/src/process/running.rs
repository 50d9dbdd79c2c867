//! A command of a machine that runs.

use async_trait::async_trait;
use encamp_core::{Control, Error, ErrorKind, Exit, Result, Signal, Size, Verb};

use super::leader::Leader;
use super::lost;

#[derive(Debug)]
pub(super) struct Running(pub(super) Leader);

#[async_trait]
impl Control for Running {
    async fn signal(&mut self, signal: Signal) -> Result<()> {
        use rustix::process::Signal as Native;
        let native = match signal {
            Signal::Hup => Native::HUP,
            Signal::Int => Native::INT,
            Signal::Quit => Native::QUIT,
            Signal::Kill => Native::KILL,
            Signal::Term => Native::TERM,
            Signal::Usr1 => Native::USR1,
            Signal::Usr2 => Native::USR2,
            Signal::Stop => Native::STOP,
            Signal::Cont => Native::CONT,
            other => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("SIG{other} is not sent here"),
                ));
            }
        };
        self.0.signal(native);
        Ok(())
    }

    async fn resize(&mut self, _: Size) -> Result<()> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "a script's commands have no terminal",
        ))
    }

    async fn wait(&mut self) -> Result<Exit> {
        self.0.ended().await.map_err(|e| lost(Verb::Exec, &e))
    }
}
