//! How a host is, and the record of who has it.

use encamp_core::{Labels, Needs, Time};

use super::answer::Answer;

/// Where a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Free,
    /// Written down, and what the one before has left is being removed.
    Claiming,
    Claimed,
    /// Being given back.
    Releasing,
}

/// Who has a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Raised with each claim.
    pub(crate) epoch: u64,
    pub(crate) state: State,
    pub(crate) key: String,
    pub(crate) token: String,
    pub(crate) labels: Labels,
}

/// How a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) record: Record,
    /// Why it is out of use.
    pub(crate) quarantine: Option<String>,
    /// Where its record lies.
    pub(crate) folder: String,
    /// Its wall clock, in seconds since 1970.
    pub(crate) now: i64,
    /// A program that it lacks.
    pub(crate) lacks: Option<String>,
    /// The claim is over, in seconds since 1970.
    pub(crate) over: Option<i64>,
    /// For whose claims its place is kept: what their keys begin with, and until when, in seconds since 1970.
    pub(crate) reserved: Option<(String, i64)>,
    /// It ends what its user has started when he logs out. Known where it was examined.
    pub(crate) kills_at_logout: bool,
    // Nothing where it was only looked at.
    cpus: u32,
    memory: u64,
    disk: u64,
    arch: String,
    os: String,
}

impl Status {
    pub(crate) fn read(answer: &Answer) -> Result<Self, String> {
        let text = |name: &str| answer.get(name).unwrap_or_default().to_owned();
        let kib = |name: &str| answer.number::<u64>(name).unwrap_or_default().saturating_mul(1024);
        // Whoever cannot read the record does not know that nobody has the host.
        if let Some(refusal) = answer.refusal() {
            return Err(refusal.to_owned());
        }
        let state = match text("state").as_str() {
            "free" => State::Free,
            "claiming" => State::Claiming,
            "claimed" => State::Claimed,
            "releasing" => State::Releasing,
            other => return Err(format!("`{other}` is no state")),
        };
        let labels = match text("labels").as_str() {
            "" => Labels::new(),
            labels => serde_json::from_str(labels).map_err(|error| format!("its labels are none: {error}"))?,
        };
        let expires: Option<i64> = answer.number("expires");
        let grace: i64 = answer.number("grace").unwrap_or_default();
        Ok(Self {
            record: Record {
                epoch: answer.number("epoch").unwrap_or_default(),
                state,
                key: text("key"),
                token: text("token"),
                labels,
            },
            quarantine: answer.get("quarantine").map(ToOwned::to_owned),
            folder: text("folder"),
            now: answer.number("now").ok_or("it does not say what time it is")?,
            lacks: answer.get("lacks").map(ToOwned::to_owned),
            over: expires.map(|expires| expires.saturating_add(grace)),
            reserved: answer.get("reserved").and_then(|reserved| {
                let (until, owner) = reserved.split_once(' ')?;
                Some((owner.to_owned(), until.parse().ok()?))
            }),
            kills_at_logout: answer.get("logout") == Some("kills"),
            cpus: answer.number("cpus").unwrap_or_default(),
            memory: kib("memory_kib"),
            disk: kib("disk_kib"),
            arch: text("arch"),
            os: text("os").to_lowercase(),
        })
    }

    /// Whether a claim of an owner would find it free.
    pub(crate) fn is_free(&self, owner: Option<&str>) -> bool {
        let is_over = self.over.is_some_and(|over| over <= self.now);
        let is_kept = |(of, until): &(String, i64)| *until > self.now && owner != Some(of.as_str());
        self.quarantine.is_none()
            && !self.reserved.as_ref().is_some_and(is_kept)
            && match self.record.state {
                State::Free => true,
                State::Claimed | State::Claiming | State::Releasing => is_over,
            }
    }

    /// Why it is not free, for people.
    pub(crate) fn why_not(&self) -> String {
        let at = |seconds: i64| Time::from_unix_millis(seconds.saturating_mul(1000));
        match (&self.quarantine, self.over, &self.reserved) {
            (Some(why), ..) => format!("out of use: {why}"),
            (None, over, Some((owner, until)))
                if self.record.state == State::Free || over.is_some_and(|over| over <= self.now) =>
            {
                format!("kept for {owner} until {}", at(*until))
            }
            (None, Some(over), _) => format!("taken by {} until {}", self.record.key, at(over)),
            (None, None, _) => format!("taken by {}", self.record.key),
        }
    }

    /// What it lacks of what a machine needs.
    pub(crate) fn misses(&self, needs: &Needs) -> Option<String> {
        let low = |have: u64, want: Option<u64>| want.is_some_and(|want| have < want);
        if needs.cpu.is_some_and(|cpu| f64::from(self.cpus) < cpu) {
            return Some(format!("{} processors", self.cpus));
        }
        if low(self.memory, needs.memory) {
            return Some(format!("{} bytes of memory", self.memory));
        }
        if low(self.disk, needs.disk) {
            return Some(format!("{} bytes of disk", self.disk));
        }
        let other = |have: &str, want: &Option<String>| want.as_ref().is_some_and(|want| want != have);
        if other(&self.arch, &needs.arch) {
            return Some(self.arch.clone());
        }
        if other(&self.os, &needs.os) {
            return Some(self.os.clone());
        }
        needs
            .gpu
            .filter(|gpu| *gpu > 0)
            .map(|_| "no gpu that is known".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(lines: &str) -> Status {
        Status::read(&Answer::read(&format!("now 1000\n{lines}"))).unwrap()
    }

    #[test]
    fn a_host_is_free_until_it_is_claimed_and_after_that_is_over() {
        for (lines, free) in [
            ("state free", true),
            ("state claimed\nexpires 900\ngrace 100", true),
            ("state claimed\nexpires 900\ngrace 101", false),
            ("state claimed\nexpires \ngrace 60", false),
            ("state releasing\nexpires 2000", false),
            ("state free\nquarantine its reset exited 1", false),
            ("state free\nreserved 1001 ec-a-b-", false),
            ("state free\nreserved 1000 ec-a-b-", true),
            ("state free\nreserved 1001 ec-c-d-", true),
        ] {
            assert_eq!(status(lines).is_free(Some("ec-c-d-")), free, "{lines}");
        }
        assert!(Status::read(&Answer::read("state free")).is_err());
        assert!(Status::read(&Answer::read("now 1\nstate odd")).is_err());
        let torn = Answer::read("now 1\nstate free\n!quarantined the record is not whole");
        assert!(Status::read(&torn).is_err());
    }

    #[test]
    fn what_a_machine_needs_is_looked_for() {
        let status = status("state free\ncpus 2\nmemory_kib 1024\ndisk_kib 10\narch x86_64\nos Linux");
        let with = |set: &dyn Fn(&mut Needs)| {
            let mut needs = Needs::default();
            set(&mut needs);
            status.misses(&needs)
        };
        assert_eq!(with(&|needs| needs.os = Some("linux".into())), None);
        assert_eq!(with(&|needs| needs.cpu = Some(2.0)), None);
        for missing in [
            with(&|needs| needs.cpu = Some(2.5)),
            with(&|needs| needs.memory = Some(1 << 21)),
            with(&|needs| needs.disk = Some(10_241)),
            with(&|needs| needs.arch = Some("aarch64".into())),
            with(&|needs| needs.gpu = Some(1)),
        ] {
            assert!(missing.is_some());
        }
    }
}
