//! Machines that stay, and machines that did not.

use std::collections::BTreeSet;

use encamp_core::Result;
use encamp_file::spec::Machine;

use super::raise::{Brought, Raised, Raising};
use crate::deaths;
use crate::inside::Inside;
use crate::journal::{IntentRow, Op};
use crate::setup::SettingUp;

impl Raising<'_> {
    /// A machine that stays: its ports may have changed, if somebody restarted it.
    pub(super) async fn keep(&self, machine: &Machine, row: &IntentRow) -> Result<Brought> {
        let provider = match self.provider(&row.instance).await {
            Ok(provider) => provider,
            Err(error) => return Ok(Brought::Failed(Some(Box::new(row.clone())), error)),
        };
        let inside = Inside::new(self.session, provider, row);
        let facts = self.wanted(machine).facts;
        let setting_up = SettingUp {
            session: self.session,
            inside: &inside,
            spec: machine,
            facts: &facts,
        };
        // Its trees are none of what decides a replacement, so they are brought up to date where they are.
        if !row.stopped
            && let Err(error) = setting_up.trees().await
        {
            return Ok(Brought::Failed(Some(Box::new(row.clone())), error));
        }
        let mut row = row.clone();
        match inside.look().await {
            Ok(observed) if observed.addrs != row.addrs || observed.ports != row.ports => {
                (row.addrs, row.ports) = (observed.addrs, observed.ports);
                let (epoch, intent) = (self.session.epoch.clone(), row.reference());
                let op = Op::Ready {
                    epoch,
                    intent,
                    addrs: row.addrs.clone(),
                    ports: row.ports.clone(),
                };
                self.session.record(op).await?;
                Ok(Brought::Ready(Box::new(row)))
            }
            Ok(_) => Ok(Brought::Ready(Box::new(row))),
            Err(error) => Ok(Brought::Failed(Some(Box::new(row)), error)),
        }
    }

    /// A machine that ran when it was looked at may have ended since; without conditions nobody else would notice.
    pub(super) async fn look_again(&self, raised: &mut Raised) -> Result<()> {
        if raised.interrupted {
            return Ok(());
        }
        let standing = raised.rows.values().filter(|row| !row.stopped);
        let ready: BTreeSet<&str> = raised
            .machines
            .iter()
            .filter(|m| m.ready)
            .map(|m| m.name.as_str())
            .collect();
        let standing = standing.filter(|row| ready.contains(row.object.as_str()));
        for error in deaths::look(self.session, self.spec, standing).await {
            let failure = encamp_core::Report(&error).to_string();
            let died = raised.machines.iter_mut().find(|m| error.machine() == Some(&m.name));
            if let Some(report) = died {
                (report.ready, report.failure) = (false, Some(failure.clone()));
            }
            let row = raised.rows.values().find(|row| error.machine() == Some(&row.object));
            if let Some(row) = row {
                let (epoch, intent) = (self.session.epoch.clone(), row.reference());
                self.session.record(Op::Fail { epoch, intent, failure }).await?;
            }
            raised.errors.push(error);
        }
        let ready = raised.machines.iter().filter(|machine| machine.ready);
        let ready: BTreeSet<&str> = ready.map(|machine| machine.name.as_str()).collect();
        let standing = raised
            .rows
            .values()
            .filter(|row| !row.stopped && ready.contains(row.object.as_str()));
        let standing: Vec<&IntentRow> = standing.filter(|row| !row.services.is_empty()).collect();
        deaths::tell_dead_services(self.session, &standing).await;
        Ok(())
    }
}
