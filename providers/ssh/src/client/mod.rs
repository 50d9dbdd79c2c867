//! One host: what it is asked, and who has it.

mod answer;
mod record;

use std::sync::Arc;
use std::time::Duration;

use encamp_core::shell::exports;
use encamp_core::{Create, Cx, Env, ErrorKind, Reserve, Result, Retry, Site, SshAccess, Stamp, Target, Time, Verb};
use encamp_remote::Remote;

use crate::convert::{about, json, seconds};
use crate::error::{refused, silent, unreadable};
use answer::Answer;
pub(crate) use record::{State, Status};

/// What is run on a host.
const SCRIPT: &str = include_str!("host.sh");
/// How long a host may take to say how it is.
const STATUS_TIMEOUT: Duration = Duration::from_secs(15);

/// One host of an instance.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) site: Site,
    pub(crate) labels: Vec<String>,
    /// How it is reached; an error where nobody knows its key.
    pub(crate) access: Result<SshAccess>,
    pub(crate) folder: String,
    pub(crate) reset: String,
    pub(crate) grace: Duration,
    pub(crate) remote: Arc<Remote>,
}

/// What a claim came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) epoch: u64,
    /// It stood already.
    pub(crate) adopted: bool,
}

impl Host {
    /// How it is, what it has, and who has it. Changes nothing.
    pub(crate) async fn status(&self, cx: &Cx) -> Result<Status> {
        self.told(cx, "status").await
    }

    /// The same without what it has, which takes a host many processes to say.
    pub(crate) async fn look(&self, cx: &Cx) -> Result<Status> {
        self.told(cx, "look").await
    }

    /// A look that says besides what the host's administrator may want to mend.
    pub(crate) async fn examine(&self, cx: &Cx) -> Result<Status> {
        self.told(cx, "examine").await
    }

    async fn told(&self, cx: &Cx, word: &str) -> Result<Status> {
        let cx = cx.clone().no_longer_than(STATUS_TIMEOUT);
        let answer = self.question(&cx, word, Env::new()).await?;
        Status::read(&answer).map_err(|why| unreadable(&self.name, &why))
    }

    /// Keeps it free for an environment, for a while.
    pub(crate) async fn reserve(&self, cx: &Cx, a: &Reserve) -> Result<()> {
        let request = Env::from([
            ("ENCAMP_OWNER".to_owned(), a.owner.clone()),
            ("ENCAMP_SPAN".to_owned(), a.span.as_secs().to_string()),
        ]);
        let answer = self.question(cx, "reserve", request).await?;
        match answer.refusal() {
            Some(refusal) => Err(refused(&self.name, refusal)),
            None if answer.get("reserved").is_some() => Ok(()),
            None => Err(unreadable(&self.name, "it does not say `reserved`")),
        }
    }

    /// Takes it for a machine. Where somebody else has it, there is no room.
    pub(crate) async fn claim(&self, cx: &Cx, a: &Create) -> Result<Claim> {
        let mut request = about(&a.stamp);
        let mut set = |name: &str, value: String| drop(request.insert(format!("ENCAMP_{name}"), value));
        set("TOKEN", a.stamp.token.as_str().to_owned());
        set("LABELS", json(&a.stamp.labels));
        set("EXPIRES", a.expires.map(seconds).unwrap_or_default());
        set("GRACE", self.grace.as_secs().to_string());
        set("RESET", self.reset.clone());
        set("ENV", exports(&a.env)?);
        let answer = self.change(cx, Verb::Create, "claim", request).await?;
        if let Some(refusal) = answer.refusal() {
            return Err(refused(&self.name, refusal));
        }
        let adopted = answer.number("adopted");
        match adopted.or_else(|| answer.number("claimed")) {
            Some(epoch) => Ok(Claim {
                epoch,
                adopted: adopted.is_some(),
            }),
            None => Err(unreadable(&self.name, "it says neither `claimed` nor `adopted`").retry(Retry::Unknown)),
        }
    }

    /// Gives it back: what the machine has started is killed, and the host is reset. Gives why it is out of use, where
    /// that failed.
    pub(crate) async fn release(&self, cx: &Cx, target: &Target) -> Result<Option<String>> {
        let answer = self.change(cx, Verb::Destroy, "release", about(&target.stamp)).await?;
        if let Some(refusal) = answer.refusal() {
            return Err(refused(&self.name, refusal));
        }
        match answer.get("gone") {
            Some("") => Ok(None),
            Some(why) => Ok(Some(why.to_owned())),
            None => Err(unreadable(&self.name, "it does not say `gone`").retry(Retry::Unknown)),
        }
    }

    /// Lets the claim stand until another moment.
    pub(crate) async fn renew(&self, cx: &Cx, stamp: &Stamp, expires: Time) -> Result<()> {
        let mut request = about(stamp);
        request.insert("ENCAMP_EXPIRES".to_owned(), seconds(expires));
        let answer = self.change(cx, Verb::Renew, "renew", request).await?;
        match answer.refusal() {
            Some(refusal) => Err(refused(&self.name, refusal)),
            None if answer.get("renewed").is_some() => Ok(()),
            None => Err(unreadable(&self.name, "it does not say `renewed`").retry(Retry::Unknown)),
        }
    }

    /// How commands of a claim reach the host: through its guard.
    pub(crate) fn guarded(&self, status: &Status) -> Result<SshAccess> {
        let mut access = self.access.clone()?;
        let guard = format!("{}/guard", status.folder);
        access.prefix = vec!["sh".to_owned(), guard, status.record.epoch.to_string()];
        Ok(access)
    }

    /// Asks what may be asked again.
    async fn question(&self, cx: &Cx, word: &str, request: Env) -> Result<Answer> {
        let access = self.access.as_ref().map_err(Clone::clone)?;
        let answered = self.remote.ask(cx, access, None, &self.lines(word, request)?).await;
        let answer = answered.map_err(|error| error.with("host", &self.name))?;
        Ok(Answer::read(&answer))
    }

    /// Has something done. What a host was told goes on there where the link breaks, and is found when it is asked for
    /// under the same key again.
    async fn change(&self, cx: &Cx, verb: Verb, word: &str, request: Env) -> Result<Answer> {
        let access = self.access.as_ref().map_err(Clone::clone)?;
        let lines = self.lines(word, request)?;
        let answered = self.remote.ask_once(cx, access, None, &lines).await;
        let answer = answered.map_err(|error| match error.retryable() {
            Retry::Unknown if error.kind() != ErrorKind::Cancelled => {
                silent(&self.name, "it does not say what came of it", verb).caused_by(error)
            }
            _ => error.with("host", &self.name),
        })?;
        Ok(Answer::read(&answer))
    }

    /// What the host's shell is told.
    fn lines(&self, word: &str, mut request: Env) -> Result<String> {
        request.insert("ENCAMP_FOLDER".to_owned(), self.folder.clone());
        Ok(format!("{}set -- {word}\n{SCRIPT}", exports(&request)?))
    }
}
