//! Where a machine stands, from what was seen of its folder and its processes.

use encamp_core::{Exit, Phase};

use crate::message::Life;

/// One look.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Sight {
    pub(crate) life: Option<Life>,
    /// It is being destroyed.
    pub(crate) dying: bool,
    /// Somebody stands for it.
    pub(crate) shim: bool,
    /// Something of it lives, the shim or what it started.
    pub(crate) alive: bool,
    /// Everything in it stands still.
    pub(crate) frozen: bool,
}

/// The phase, and why it is that where that is not plain.
pub(crate) fn phase_of(sight: &Sight) -> (Phase, Option<&'static str>) {
    if sight.dying {
        return (Phase::Dying, None);
    }
    match &sight.life {
        // No shim need stand for it: `start` starts one.
        None => (Phase::Held, None),
        Some(Life::Stopped) => (Phase::Stopped, None),
        Some(Life::Expired) => (Phase::Stopped, Some("its time was over")),
        Some(Life::Exited(exit)) => (Phase::Exited(exit.clone()), None),
        Some(Life::Running) if sight.shim && sight.frozen => (Phase::Paused, None),
        Some(Life::Running) if sight.shim => (Phase::Running, None),
        Some(Life::Running) if sight.alive => {
            let why = "its shim has died, and processes of it still run";
            (Phase::Exited(Exit::Lost(why.to_owned())), Some(why))
        }
        Some(Life::Running) => {
            let why = "its shim has died, or this host was started anew";
            (Phase::Exited(Exit::Lost(why.to_owned())), Some(why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_is_only_what_a_shim_stands_for() {
        let sight = Sight {
            life: Some(Life::Running),
            shim: true,
            alive: true,
            ..Sight::default()
        };
        assert_eq!(phase_of(&sight).0, Phase::Running);
        let still = Sight {
            frozen: true,
            ..sight.clone()
        };
        assert_eq!(phase_of(&still).0, Phase::Paused);
        for alive in [true, false] {
            let orphaned = Sight {
                shim: false,
                alive,
                ..sight.clone()
            };
            assert!(matches!(phase_of(&orphaned).0, Phase::Exited(Exit::Lost(_))));
        }
        let dying = Sight { dying: true, ..sight };
        assert_eq!(phase_of(&dying).0, Phase::Dying);
        assert_eq!(phase_of(&Sight::default()).0, Phase::Held);
    }
}
