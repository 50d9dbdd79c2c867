//! How machines of an instance are caged, from what its settings ask for and what this host allows.

use std::path::PathBuf;

use encamp_core::{Error, ErrorKind, Finding, Level, Result};

use crate::cgroup::{Base, Groups, Limit};
use crate::config::{Cage, Files, Settings};
use crate::message::Confinement;

/// What this host allows this user, each with the reason where it does not.
#[derive(Debug, Clone)]
pub(crate) struct Abilities {
    pub(crate) root: bool,
    pub(crate) groups: Groups,
    pub(crate) processes: Result<(), String>,
    pub(crate) overlay: Result<(), String>,
}

/// How machines are caged.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Plan {
    /// The group in which each machine gets its own.
    pub(crate) group: Option<PathBuf>,
    pub(crate) limits: Vec<(Limit, Base)>,
    pub(crate) processes: bool,
    pub(crate) overlay: bool,
    pub(crate) users: bool,
    /// Commands may run as others.
    pub(crate) others: bool,
    /// What there is not, and why.
    lacks: Vec<(&'static str, String)>,
}

/// The plan, or what the settings ask for and this host does not have.
pub(crate) fn plan(settings: &Settings, abilities: &Abilities) -> Result<Plan> {
    let mut lacks = Vec::new();
    let wants_group = matches!(settings.cage, Cage::Auto | Cage::Cgroup);
    let group = match &abilities.groups.cage {
        Ok(folder) => wants_group.then(|| folder.clone()),
        Err(why) if settings.cage == Cage::Cgroup => return Err(refused("cage", "cgroup", why)),
        Err(why) => {
            lacks.extend(wants_group.then(|| (GROUP, why.clone())));
            None
        }
    };
    let wants_processes = matches!(settings.cage, Cage::Auto | Cage::Namespace);
    let processes = match &abilities.processes {
        Ok(()) => wants_processes,
        Err(why) if settings.cage == Cage::Namespace => return Err(refused("cage", "namespace", why)),
        Err(why) => {
            lacks.extend(wants_processes.then(|| (PROCESSES, why.clone())));
            false
        }
    };
    let overlay = match &abilities.overlay {
        Ok(()) => settings.files != Files::Plain,
        Err(why) if settings.files == Files::Overlay => return Err(refused("files", "overlay", why)),
        Err(why) => {
            lacks.extend((settings.files == Files::Auto).then(|| (OVERLAY, why.clone())));
            false
        }
    };
    Ok(Plan {
        group,
        limits: abilities.groups.limits.clone(),
        processes,
        overlay,
        users: !abilities.root && (processes || overlay),
        others: abilities.root,
        lacks,
    })
}

const GROUP: &str = "no control group";
const PROCESSES: &str = "no process name space";
const OVERLAY: &str = "no files of their own";

fn refused(key: &str, value: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("the settings ask for `{key} = \"{value}\"`, which this host does not allow this user"),
    )
    .with("why", why)
    .next_step(format!(
        "drop `{key}` from the settings of this provider: then the best that there is is used"
    ))
}

impl Plan {
    pub(crate) fn confinement(&self) -> Confinement {
        Confinement {
            users: self.users,
            processes: self.processes,
            overlay: self.overlay,
        }
    }

    /// Only root becomes somebody else; in a user name space there is nobody else.
    pub(crate) fn refuse_user(&self, user: Option<&str>) -> Result<()> {
        let Some(user) = user.filter(|_| !self.others) else {
            return Ok(());
        };
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("nothing runs as `{user}` here: on this host another user is only to be had as root"),
        )
        .next_step("drop `user`, or run as root"))
    }

    /// What ends a machine's processes.
    pub(crate) fn cage(&self) -> &'static str {
        match (&self.group, self.processes) {
            (Some(_), true) => "control group and process name space",
            (Some(_), false) => "control group",
            (None, true) => "process name space",
            (None, false) => "cookie",
        }
    }

    /// What its files are.
    pub(crate) fn files(&self) -> &'static str {
        if self.overlay {
            "this host's, and what is written is the machine's own"
        } else {
            "this host's"
        }
    }

    /// What `doctor` shows.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let limits: Vec<&str> = self.limits.iter().map(|(limit, _)| limit.key()).collect();
        let limits = if limits.is_empty() {
            "none".to_owned()
        } else {
            limits.join(", ")
        };
        let mut findings = vec![Finding::new(
            Level::Note,
            format!(
                "machines are ended by {}; their files are {}; limits: {limits}",
                self.cage(),
                self.files()
            ),
        )];
        let weak = self.group.is_none() && !self.processes;
        for (what, why) in &self.lacks {
            let level = if weak || *what == OVERLAY {
                Level::Warning
            } else {
                Level::Note
            };
            let help = match *what {
                OVERLAY => {
                    "absolute paths of a file are this host's then: secrets, `script` and `copy` to them are refused; \
                     allow user name spaces, or run as root"
                }
                _ => "what a machine starts is found by what it inherits then, which a program can drop on purpose",
            };
            let finding = Finding::new(level, format!("{what}: {why}"));
            findings.push(if level == Level::Warning {
                finding.help(help)
            } else {
                finding
            });
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abilities(cage: bool, spaces: bool) -> Abilities {
        let found = |there: bool| if there { Ok(()) } else { Err("not here".to_owned()) };
        Abilities {
            root: false,
            groups: Groups {
                cage: found(cage).map(|()| "/g".into()),
                limits: Vec::new(),
            },
            processes: found(spaces),
            overlay: found(spaces),
        }
    }

    fn planned(cage: Cage, abilities: &Abilities) -> Result<&'static str> {
        let settings = Settings {
            cage,
            ..Settings::default()
        };
        plan(&settings, abilities).map(|plan| plan.cage())
    }

    #[test]
    fn the_best_that_there_is_is_used() {
        assert_eq!(
            planned(Cage::Auto, &abilities(true, true)).unwrap(),
            "control group and process name space"
        );
        assert_eq!(
            planned(Cage::Auto, &abilities(false, true)).unwrap(),
            "process name space"
        );
        assert_eq!(planned(Cage::Auto, &abilities(false, false)).unwrap(), "cookie");
        assert_eq!(planned(Cage::Cookie, &abilities(true, true)).unwrap(), "cookie");
    }

    #[test]
    fn what_is_asked_for_and_not_there_is_refused() {
        for cage in [Cage::Cgroup, Cage::Namespace] {
            let error = planned(cage, &abilities(false, false)).unwrap_err();
            assert!(error.hint().unwrap().contains("`cage`"), "{error:?}");
        }
    }

    #[test]
    fn what_is_missing_is_told_with_its_help() {
        let plan = plan(&Settings::default(), &abilities(false, false)).unwrap();
        let findings = plan.findings();
        assert_eq!(findings.len(), 4);
        assert!(
            findings[1..]
                .iter()
                .all(|finding| finding.level == Level::Warning && finding.help.is_some())
        );
    }
}
