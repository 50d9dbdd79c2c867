//! Where the crash suite kills this process: `ENCAMP__FAILPOINT=NAME` or `NAME@N` for the N-th time.
//!
//! `ENCAMP__FAILPOINT_TRACE=FILE` gets the name of each place that is reached, a line each.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use encamp::failpoint::Failpoints;
use encamp::{Error, ErrorKind, Result};
use rustix::process::{Signal, getpid, kill_process};

use crate::variables::Variables;

#[derive(Debug)]
struct Crash {
    point: Option<String>,
    /// How often it is still let pass.
    passes: AtomicU32,
    trace: Option<File>,
}

/// What the variables ask for.
pub(crate) fn of(variables: &Variables) -> Result<Option<Arc<dyn Failpoints>>> {
    let (point, trace) = variables.failpoints();
    if point.is_none() && trace.is_none() {
        return Ok(None);
    }
    let (point, time) = match point.and_then(|point| point.rsplit_once('@')) {
        Some((name, time)) => {
            let wrong = |e| Error::new(ErrorKind::Invalid, format!("`{time}` says no how-manieth time")).caused_by(e);
            (Some(name.to_owned()), time.parse::<u32>().map_err(wrong)?)
        }
        None => (point.map(str::to_owned), 1),
    };
    let trace = trace.map(|path| {
        let opened = OpenOptions::new().append(true).create(true).open(&path);
        opened.map_err(|e| Error::new(ErrorKind::Invalid, format!("{} cannot be written", path.display())).caused_by(e))
    });
    Ok(Some(Arc::new(Crash {
        point,
        passes: AtomicU32::new(time.saturating_sub(1)),
        trace: trace.transpose()?,
    })))
}

#[async_trait]
impl Failpoints for Crash {
    async fn reach(&self, point: &str) {
        if let Some(mut trace) = self.trace.as_ref() {
            let _ = trace.write_all(format!("{point}\n").as_bytes());
        }
        if self.point.as_deref() != Some(point) {
            return;
        }
        let pass = self
            .passes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |passes| passes.checked_sub(1));
        if pass.is_err() {
            let _ = kill_process(getpid(), Signal::KILL);
            std::future::pending::<()>().await;
        }
    }
}
