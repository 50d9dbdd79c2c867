//! The engine's own runtime.

use std::future::Future;
use std::sync::Arc;

use encamp_core::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle, Runtime};

/// One worker thread that outlives every runtime of its callers.
#[derive(Debug, Clone)]
pub(crate) struct Engine(Arc<Own>);

#[derive(Debug)]
struct Own(Option<Runtime>);

impl Drop for Own {
    fn drop(&mut self) {
        // Waiting here would block, or panic within, the caller's runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Engine {
    pub(crate) fn start() -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("encamp-engine")
            .enable_all()
            .build()
            .map_err(|e| Error::new(ErrorKind::Internal, "the engine's thread cannot be started").caused_by(e))?;
        Ok(Self(Arc::new(Own(Some(runtime)))))
    }

    fn handle(&self) -> Option<&Handle> {
        self.0.0.as_ref().map(Runtime::handle)
    }

    /// Lets the engine's thread do something that nobody waits for here.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        drop(self.handle().ok_or_else(ended)?.spawn(work));
        Ok(())
    }

    /// Does `work` on the engine's thread. A caller that stops waiting does not stop the work.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.handle()
            .ok_or_else(ended)?
            .spawn(work)
            .await
            .map_err(|e| Error::new(ErrorKind::Internal, "the engine failed").caused_by(e))?
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Internal, "the engine has ended")
}
