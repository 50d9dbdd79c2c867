//! What is ours by proof and stands in no row is recorded again.

use std::collections::BTreeMap;

use encamp_core::{Addr, Class, Found, Phase, Published, Result, SelfExpiry, Stamp, Target, Time, Token, Value, label};

use encamp_file::spec::Given;
use encamp_file::text::Numbers;

use crate::camp::Camp;
use crate::clock::Lease;
use crate::identity::Object;
use crate::journal::{EnvironmentRow, IntentRow, IntentState, Op, Purpose, SetUp, SiteRow, Wanted};
use crate::sweep::Listed;

/// What a machine of an environment that is known failed with, so that `up` makes it anew.
const LOST: &str = "recovered after the store was lost";

/// Ours by proof and without a row: the store was lost, rolled back or cloned. It is adopted, never killed on sight.
///
/// The lease of an environment that is not `known` is the end that stands on what was found, and at least `least`. False
/// where a process that still has the lost store open works on such a one: it is left to that.
pub(crate) async fn adopt(
    camp: &Camp,
    of: &Listed,
    found: &Found,
    object: &Object,
    known: Option<&EnvironmentRow>,
    least: Option<Lease>,
) -> Result<bool> {
    let _held = match (known, camp.locks.try_hold(&object.environment)?) {
        (None, None) => return Ok(false),
        (_, held) => held,
    };
    let environment = known
        .cloned()
        .unwrap_or_else(|| environment(camp, found, object, least));
    let row = row(camp, of, found, object, &environment).await;
    if let Some(configured) = camp.providers.instance(&of.instance) {
        let site = SiteRow {
            site: of.site.clone(),
            instance: of.instance.clone(),
            kind: configured.kind.clone(),
            settings: configured.settings.clone(),
            first_used: camp.clock.now(),
        };
        camp.commit(Op::Site(Box::new(site))).await?;
    }
    camp.commit(Op::Recover {
        environment: Box::new(environment),
        row: Box::new(row),
    })
    .await?;
    Ok(true)
}

/// When something was to end, by its labels.
pub(crate) fn labelled_end(found: &Found) -> Option<Time> {
    Time::parse(found.labels.get(label::EXPIRES)?)
}

/// What the labels say of an environment; the rest is lost with the store.
fn environment(camp: &Camp, found: &Found, object: &Object, least: Option<Lease>) -> EnvironmentRow {
    let now = camp.clock.now();
    let labelled = Lease {
        ends: labelled_end(found).unwrap_or(now),
        boot: None,
    };
    let text = |name: &str| found.labels.get(name).map(String::as_str);
    EnvironmentRow {
        id: object.environment.clone(),
        name: format!("recovered-{}", object.environment),
        purpose: Purpose::Up,
        file: None,
        wanted: Wanted::Present,
        keep: false,
        created: text(label::CREATED).and_then(Time::parse).unwrap_or(now),
        lease: least.filter(|least| least.is_after(&labelled)).unwrap_or(labelled),
        epoch: text(label::EPOCH).and_then(|text| text.parse().ok()).unwrap_or(0),
        holder: None,
        disposed: None,
        by: camp.user.clone(),
        outputs: BTreeMap::new(),
        machines: 0,
        numbers: Numbers::new(),
        recovered: true,
        given: Given::default(),
        took: Vec::new(),
    }
}

async fn row(camp: &Camp, of: &Listed, found: &Found, object: &Object, environment: &EnvironmentRow) -> IntentRow {
    let now = camp.clock.now();
    let stamp = Stamp::new(
        camp.controller.key(object),
        Token::new(found.token.clone().unwrap_or_default()),
        found.labels.clone(),
    );
    let mut row = IntentRow {
        environment: object.environment.clone(),
        class: object.class,
        object: object.name.clone(),
        generation: object.generation,
        instance: of.instance.clone(),
        site: of.site.clone(),
        state: IntentState::Seen,
        stamp,
        request: String::new(),
        id: Some(found.id.clone()),
        unsettled: false,
        epoch: environment.epoch,
        last_sent: Some(now),
        evidence: None,
        spec: found.labels.get(label::SPEC).cloned().unwrap_or_default(),
        bound: String::new(),
        failure: None,
        updated: now,
        addrs: Vec::new(),
        ports: Vec::new(),
        data: Value::Null,
        stopped: found.phase == Phase::Stopped,
        set_up: SetUp::default(),
        parts: BTreeMap::new(),
        services: BTreeMap::new(),
        expires: None,
    };
    if object.class != Class::Machine {
        return row;
    }
    if of.provider.capabilities().self_expiry != SelfExpiry::None {
        row.expires = labelled_end(found);
    }
    if !environment.recovered {
        row.failure = Some(LOST.into());
        return row;
    }
    // What its file asks of it is lost as well: as with a machine that was started again and that no file describes, it
    // counts as ready while it runs.
    match &found.phase {
        Phase::Running => {
            row.state = IntentState::Ready;
            (row.addrs, row.ports) = reached_at(camp, of, &row).await;
        }
        Phase::Exited(exit) => row.failure = Some(format!("its process {exit}")),
        _ => {}
    }
    row
}

/// Where a machine can be reached; nothing where it does not say so now.
async fn reached_at(camp: &Camp, of: &Listed, row: &IntentRow) -> (Vec<Addr>, Vec<Published>) {
    let target = Target::new(row.stamp.clone(), row.site.clone(), row.id.clone());
    match of.provider.inspect(&camp.read_cx(), target).await {
        Ok(observed) => (observed.addrs, observed.ports),
        Err(error) => {
            tracing::info!(machine = row.object, error = %encamp_core::Report(&error), "its addresses are not known");
            (Vec::new(), Vec::new())
        }
    }
}
