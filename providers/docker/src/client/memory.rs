//! Whether a container died for want of memory, where its state does not say so.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as Status};
use bollard::query_parameters::EventsOptions;
use encamp_core::{Cx, Time};
use futures_util::StreamExt;

use super::Engine;

/// The status of a process that SIGKILL ended.
const KILLED: i64 = 137;
/// How long after the end its reason is waited for.
const LATE: Duration = Duration::from_millis(300);

impl Engine {
    /// Engines hear of the end and of its reason by two ways. Where the end is heard first, Docker 20.10 never sets
    /// `OOMKilled`; the event is all that says it (containerd/containerd#12714). What cannot be asked stays unsaid.
    pub(crate) async fn was_out_of_memory(&self, cx: &Cx, container: &ContainerInspectResponse) -> bool {
        let limited = container.host_config.as_ref().and_then(|host| host.memory) > Some(0);
        let state = container.state.as_ref();
        let state = state.filter(|state| state.status == Some(Status::EXITED) && state.exit_code == Some(KILLED));
        let (Some(state), Some(id), true) = (state, &container.id, limited) else {
            return false;
        };
        let time = |text: &Option<String>| text.as_deref().and_then(Time::parse);
        let (Some(started), Some(finished)) = (time(&state.started_at), time(&state.finished_at)) else {
            return false;
        };
        // It counts however late it came, by the engine's own clock.
        let info = self.read(cx, self.docker.info()).await;
        let now = info.ok().and_then(|info| time(&info.system_time));
        let soonest = finished.plus(LATE);
        let options = EventsOptions {
            since: Some(seconds(started)),
            until: Some(seconds(now.map_or(soonest, |now| now.max(soonest)))),
            filters: Some(HashMap::from([
                ("container".to_owned(), vec![id.clone()]),
                ("event".to_owned(), vec!["oom".to_owned()]),
            ])),
        };
        let said = async {
            let mut events = pin!(self.docker.events(Some(options)));
            Ok(matches!(events.next().await, Some(Ok(_))))
        };
        self.read(cx, said).await.unwrap_or(false)
    }
}

/// Seconds since 1970 with their fraction, as engines want moments.
fn seconds(time: Time) -> String {
    let millis = time.unix_millis();
    format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000))
}
