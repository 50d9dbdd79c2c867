//! The contract, each verb as a command.

use std::sync::Arc;

use async_trait::async_trait;
use encamp_core::{
    Access, BoxRead, Candidate, Capabilities, Check, CopyIn, CopyOut, Create, Created, Cx, Dial, Duplex, Error,
    ErrorKind, Exec, Finding, Keeps, Level, List, Listing, Logs, Observed, Phase, Process, Provider, Removal, Renew,
    Resolve, Result, Site, Stop, Target, Ticket, Value, Verb, fill_late,
};

use crate::call::Call;
use crate::lines::{answer, listing, observed};
use crate::manifest::Manifest;
use crate::process::Starter;
use crate::table::problems;
use crate::turn::{Turn, Turns};

/// One instance of a script.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) site: Site,
    pub(crate) starter: Starter,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) settings: Value,
    /// Changes of one machine are made one after the other.
    pub(crate) turns: Turns,
}

impl Script {
    fn argv(&self, verb: Verb) -> Result<&[String]> {
        let argv = self.manifest.run.get(&verb).map(Vec::as_slice);
        argv.ok_or_else(|| Error::unsupported(verb))
    }

    fn settled(&self, call: Call) -> Call {
        call.with_words("SETTING_", &self.settings)
    }

    async fn run(&self, cx: &Cx, call: Call) -> Result<String> {
        let argv = self.argv(call.verb)?;
        self.starter.run(cx, argv, &self.settled(call)).await
    }

    /// A change of one machine that is ours, in its turn: where it carries labels, they are compared first.
    async fn change(&self, cx: &Cx, target: &Target, call: Call) -> Result<(String, Turn)> {
        let argv = self.argv(call.verb)?;
        let turn = self.turns.take(cx, &target.stamp.key).await;
        let turn = turn.map_err(|error| error.at(call.verb))?;
        if self.manifest.capabilities.keeps == Keeps::Labels {
            self.own(cx, target).await?;
        }
        let said = self.starter.change(cx, argv, &self.settled(call), &turn).await?;
        Ok((said, turn))
    }

    async fn own(&self, cx: &Cx, target: &Target) -> Result<()> {
        let everything = self.everything(cx, target).await?;
        let there = everything
            .found
            .iter()
            .find(|found| found.key == target.stamp.key.as_str());
        match there {
            Some(found) if !target.stamp.matches(&found.key, &found.labels) => Err(Error::new(
                ErrorKind::Conflict,
                "what stands under this key carries other labels than ours",
            )
            .with("key", &found.key)),
            _ => Ok(()),
        }
    }

    async fn everything(&self, cx: &Cx, target: &Target) -> Result<Listing> {
        let controller = target
            .stamp
            .labels
            .get(encamp_core::label::CONTROLLER)
            .cloned()
            .unwrap_or_default();
        let controller =
            encamp_core::ControllerId::new(controller).map_err(|e| Error::new(ErrorKind::Invalid, e.to_string()))?;
        self.list(cx, List::new(encamp_core::ControllerPrefix::new(&controller)))
            .await
    }
}

#[async_trait]
impl Provider for Script {
    fn capabilities(&self) -> &Capabilities {
        &self.manifest.capabilities
    }

    fn site(&self) -> &Site {
        &self.site
    }

    async fn check(&self, cx: &Cx, a: Check) -> Result<Vec<Finding>> {
        if !self.manifest.run.contains_key(&Verb::Check) {
            let controller =
                encamp_core::ControllerId::new("000000").map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
            self.list(cx, List::new(encamp_core::ControllerPrefix::new(&controller)))
                .await?;
            return Ok(Vec::new());
        }
        let said = self.run(cx, Call::new(Verb::Check, &a)).await?;
        let notes = said.lines().filter(|line| !line.trim().is_empty());
        Ok(notes.map(|line| Finding::new(Level::Note, line)).collect())
    }

    async fn resolve(&self, _: &Cx, a: Resolve) -> Result<Vec<Candidate>> {
        if let Some(problem) = problems(&self.manifest.table_schema, &a.table).into_iter().next() {
            let error =
                Error::new(ErrorKind::Invalid, problem.message).with("key", problem.pointer.trim_start_matches('/'));
            return Err(match problem.help {
                Some(help) => error.next_step(help),
                None => error,
            });
        }
        Ok(vec![Candidate::new(self.site.clone(), a.table)])
    }

    async fn prepare(&self, cx: &Cx, a: Candidate) -> Result<Candidate> {
        if self.manifest.run.contains_key(&Verb::Prepare) {
            self.run(cx, Call::new(Verb::Prepare, &a).with_words("", &a.body))
                .await?;
        }
        Ok(a)
    }

    async fn list(&self, cx: &Cx, a: List) -> Result<Listing> {
        let said = self.run(cx, Call::of_list(&a)).await?;
        listing(&said, &a, &self.site)
    }

    async fn inspect(&self, cx: &Cx, a: Target) -> Result<Observed> {
        if self.manifest.run.contains_key(&Verb::Inspect) {
            let said = self.run(cx, Call::new(Verb::Inspect, &a).about(&a)).await?;
            return observed(&said, a.id.as_deref().unwrap_or_default(), self.inside());
        }
        let listing = self.everything(cx, &a).await?;
        let keeps = self.manifest.capabilities.keeps;
        Ok(match listing.find(&a.site, &a.stamp, keeps) {
            Some(found) => {
                let access = found.access.clone().unwrap_or_else(|| self.inside());
                Observed::new(found.phase.clone(), found.id.clone(), access)
            }
            None => Observed::new(Phase::Gone, a.id.unwrap_or_default(), Access::None),
        })
    }

    async fn create(&self, cx: &Cx, _: &Ticket, a: Create) -> Result<Created> {
        let mut table = a.body.clone();
        fill_late(&mut table, &a.late);
        let target = Target::new(a.stamp.clone(), a.site.clone(), None);
        let (said, _) = self.change(cx, &target, Call::of_create(&a, &table)?).await?;
        let answer = answer(&said)?;
        let id = answer.id.unwrap_or_else(|| a.stamp.key.as_str().to_owned());
        let created = Created::new(id, answer.phase.unwrap_or(Phase::Running));
        Ok(if answer.adopted { created.adopted() } else { created })
    }

    async fn start(&self, cx: &Cx, _: &Ticket, a: Target) -> Result<()> {
        if !self.manifest.run.contains_key(&Verb::Start) {
            return Ok(());
        }
        self.change(cx, &a, Call::new(Verb::Start, &a).about(&a))
            .await
            .map(drop)
    }

    async fn stop(&self, cx: &Cx, _: &Ticket, a: Stop) -> Result<()> {
        let call = Call::new(Verb::Stop, &a)
            .about(&a.target)
            .with("GRACE", a.grace.as_secs().to_string());
        self.change(cx, &a.target, call).await.map(drop)
    }

    async fn pause(&self, cx: &Cx, _: &Ticket, a: Target) -> Result<()> {
        self.change(cx, &a, Call::new(Verb::Pause, &a).about(&a))
            .await
            .map(drop)
    }

    async fn renew(&self, cx: &Cx, _: &Ticket, a: Renew) -> Result<()> {
        let call = Call::new(Verb::Renew, &a)
            .about(&a.target)
            .with("EXPIRES", a.expires.to_string());
        self.change(cx, &a.target, call).await.map(drop)
    }

    async fn destroy(&self, cx: &Cx, _: &Ticket, a: Target) -> Result<Removal> {
        let (said, turn) = self.change(cx, &a, Call::new(Verb::Destroy, &a).about(&a)).await?;
        if answer(&said)?.pending {
            return Ok(Removal::Pending);
        }
        turn.last();
        Ok(Removal::Gone)
    }

    async fn exec(&self, cx: &Cx, a: Exec) -> Result<Process> {
        if a.tty.is_some() {
            return Err(Error::new(ErrorKind::Unsupported, "a script's commands have no terminal").at(Verb::Exec));
        }
        // How a command of the script ends is how the machine's ends, so what is not there is found out before.
        match self.inspect(cx, a.target.clone()).await?.phase {
            Phase::Gone => return Err(Error::new(ErrorKind::NotFound, "the machine is not there").at(Verb::Exec)),
            Phase::Stopped => return Err(Error::new(ErrorKind::Unavailable, "the machine is stopped").at(Verb::Exec)),
            _ => {}
        }
        let mut call = Call::new(Verb::Exec, &a).about(&a.target);
        if let Some(cwd) = &a.cwd {
            call = call.with("CWD", cwd);
        }
        if let Some(user) = &a.user {
            call = call.with("USER", user);
        }
        if !a.env.is_empty() {
            call = call.with_env(&a.env)?;
        }
        call.arguments.extend(a.argv);
        self.starter.exec(self.argv(Verb::Exec)?, &self.settled(call), a.stdin)
    }

    async fn copy_in(&self, cx: &Cx, a: CopyIn, tar: BoxRead) -> Result<()> {
        let call = Call::new(Verb::CopyIn, &a).about(&a.target).with("FOLDER", &a.folder);
        self.starter
            .take(cx, self.argv(Verb::CopyIn)?, &self.settled(call), tar)
            .await
    }

    async fn copy_out(&self, cx: &Cx, a: CopyOut) -> Result<BoxRead> {
        let call = Call::new(Verb::CopyOut, &a).about(&a.target).with("PATH", &a.path);
        self.starter
            .stream(cx, self.argv(Verb::CopyOut)?, &self.settled(call), false)
            .await
    }

    async fn dial(&self, cx: &Cx, a: Dial) -> Result<Duplex> {
        let call = Call::new(Verb::Dial, &a)
            .about(&a.target)
            .with("PORT", a.port.to_string());
        self.starter.dial(cx, self.argv(Verb::Dial)?, &self.settled(call)).await
    }

    async fn logs(&self, cx: &Cx, a: Logs) -> Result<BoxRead> {
        let offered = self.manifest.capabilities.logs;
        if (a.follow && !offered.follow) || (a.since.is_some() && !offered.since) {
            return Err(Error::unsupported(Verb::Logs));
        }
        let mut call = Call::new(Verb::Logs, &a).about(&a.target);
        if let Some(since) = a.since {
            call = call.with("SINCE", since.to_string());
        }
        if a.follow {
            call = call.with("FOLLOW", "1");
        }
        if let Some(tail) = a.tail {
            call = call.with("TAIL", tail.to_string());
        }
        self.starter
            .stream(cx, self.argv(Verb::Logs)?, &self.settled(call), a.follow)
            .await
    }
}

impl Script {
    /// How commands reach a machine of which nothing else is said.
    fn inside(&self) -> Access {
        if self.manifest.capabilities.offers(Verb::Exec) {
            Access::Native
        } else {
            Access::None
        }
    }
}
