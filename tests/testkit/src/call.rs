//! One call as data, for a process of its own that makes it.

use std::sync::Arc;

use encamp_core::{
    Create, Cx, Error, ErrorKind, Exec, Exit, Key, List, OpenScope, Provider, Renew, Report, Result, Stop, Target,
    Ticket, Verb,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::bed::finish;
use crate::factory::Factory;
use crate::promise::Stop as End;

/// What the process says as soon as its call is on its way.
pub(crate) const BEGUN: &str = "begun";

/// A call of the contract.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Call {
    Create(Box<Create>),
    Start(Target),
    Stop(Stop),
    Pause(Target),
    Renew(Renew),
    Destroy(Target),
    OpenScope(OpenScope),
    CloseScope(Target),
    List(List),
    Inspect(Target),
    Exec(Exec),
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Done,
    /// The keys, where the listing is said to be complete.
    Listed(Vec<String>),
    Failed(String),
}

impl Call {
    pub(crate) fn verb(&self) -> Verb {
        match self {
            Self::Create(_) => Verb::Create,
            Self::Start(_) => Verb::Start,
            Self::Stop(_) => Verb::Stop,
            Self::Pause(_) => Verb::Pause,
            Self::Renew(_) => Verb::Renew,
            Self::Destroy(_) => Verb::Destroy,
            Self::OpenScope(_) => Verb::OpenScope,
            Self::CloseScope(_) => Verb::CloseScope,
            Self::List(_) => Verb::List,
            Self::Inspect(_) => Verb::Inspect,
            Self::Exec(_) => Verb::Exec,
        }
    }

    async fn perform(self, provider: &dyn Provider, cx: &Cx) -> Result<Answer> {
        let verb = self.verb();
        let ticket = |key: &Key| Ticket::of_committed_intent(key.clone(), verb, 1);
        match self {
            Self::Create(a) => drop(provider.create(cx, &ticket(&a.stamp.key), *a).await?),
            Self::Start(a) => provider.start(cx, &ticket(&a.stamp.key), a).await?,
            Self::Stop(a) => provider.stop(cx, &ticket(&a.target.stamp.key), a).await?,
            Self::Pause(a) => provider.pause(cx, &ticket(&a.stamp.key), a).await?,
            Self::Renew(a) => provider.renew(cx, &ticket(&a.target.stamp.key), a).await?,
            Self::Destroy(a) => drop(provider.destroy(cx, &ticket(&a.stamp.key), a).await?),
            Self::OpenScope(a) => drop(provider.open_scope(cx, &ticket(&a.stamp.key), a).await?),
            Self::CloseScope(a) => drop(provider.close_scope(cx, &ticket(&a.stamp.key), a).await?),
            Self::Inspect(a) => drop(provider.inspect(cx, a).await?),
            Self::List(a) => {
                let listing = provider.list(cx, a).await?;
                if !listing.covers(provider.site()) {
                    return Ok(Answer::Failed("the listing is not complete".into()));
                }
                return Ok(Answer::Listed(
                    listing.found.into_iter().map(|found| found.key).collect(),
                ));
            }
            Self::Exec(a) => {
                let finished = finish(provider.exec(cx, a).await?, &[]).await;
                return Ok(match finished {
                    Ok(output) if output.exit == Exit::Code(0) => Answer::Done,
                    Ok(output) => Answer::Failed(format!("it ended with {}", output.exit)),
                    Err(End::Broken(why) | End::NotOffered(why)) => Answer::Failed(why),
                });
            }
        }
        Ok(Answer::Done)
    }
}

/// Makes the one call that `input` asks for, as the program of [`Factory::caller`] does with its standard input, and says
/// on `output` that it has begun and what came of it.
pub async fn make_call(
    factory: &Arc<dyn Factory>,
    mut input: impl AsyncRead + Unpin + Send,
    mut output: impl AsyncWrite + Unpin + Send,
) -> Result<()> {
    let mut asked = Vec::new();
    input.read_to_end(&mut asked).await.map_err(unsaid)?;
    let call: Call = serde_json::from_slice(&asked)
        .map_err(|error| Error::new(ErrorKind::Invalid, "what is asked is no call").caused_by(error))?;
    let provider = factory.connect().await?;
    say(&mut output, BEGUN).await?;
    let cx = Cx::within(factory.bounds().running);
    let answer = match call.perform(&*provider, &cx).await {
        Ok(answer) => answer,
        Err(error) => Answer::Failed(Report(&error).to_string()),
    };
    let answer = serde_json::to_string(&answer)
        .map_err(|error| Error::new(ErrorKind::Internal, "the answer cannot be told").caused_by(error))?;
    say(&mut output, &answer).await
}

async fn say(output: &mut (impl AsyncWrite + Unpin + Send), line: &str) -> Result<()> {
    output.write_all(format!("{line}\n").as_bytes()).await.map_err(unsaid)?;
    output.flush().await.map_err(unsaid)
}

fn unsaid(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, "nobody hears what came of the call").caused_by(error)
}
