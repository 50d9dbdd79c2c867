//! The frozen request for a machine: everything late rendered, the stamp derived, the row ready to be planned.

use std::collections::BTreeMap;
use std::sync::Arc;

use encamp_core::{
    Candidate, Class, Create, Error, ErrorKind, Generation, InstanceName, Opened, Provider, Result, SelfExpiry, Site,
    Time,
};
use encamp_file::spec::Machine;
use encamp_file::text::{Facts, Viewer};

use super::confide;
use super::late;
use super::raise::Raising;
use crate::command;
use crate::identity::{Object, Particulars, freeze, short_hash};
use crate::journal::{IntentRow, IntentState};
use crate::secrets;

impl Raising<'_> {
    pub(super) fn identity(&self, class: Class, object: &str, generation: Generation) -> Object {
        Object {
            environment: self.session.row.id.clone(),
            class,
            name: object.to_owned(),
            generation,
        }
    }

    fn ends(&self) -> Time {
        self.ends.get().copied().unwrap_or(self.session.row.lease.ends)
    }

    pub(super) fn particulars(&self, spec: &str) -> Particulars {
        Particulars {
            spec: spec.to_owned(),
            created: self.session.camp.clock.now(),
            expires: self.ends(),
            epoch: self.session.epoch.number,
        }
    }

    /// The whole request for a machine, with everything late rendered.
    pub(super) fn freeze(
        &self,
        machine: &Machine,
        instance: &InstanceName,
        provider: &Arc<dyn Provider>,
        prepared: &Candidate,
        scope: &BTreeMap<String, Opened>,
        generation: Generation,
    ) -> Result<IntentRow> {
        let camp = &self.session.camp;
        let kind = camp
            .providers
            .kind_of(instance)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no provider is called `{instance}`")))?;
        let spec = machine.spec_hash(kind);
        let identity = self.identity(Class::Machine, machine.name.as_str(), generation);
        let stamp = camp
            .controller
            .stamp(&identity, &self.particulars(&spec), encamp_core::Token::new(""));
        let mut request = Create::new(
            stamp,
            prepared.site.clone(),
            prepared.body.clone(),
            machine.name.clone(),
        );
        let known = self.wanted(machine).facts;
        let mut kept = known.clone();
        kept.secrets = self.session.secrets.marked();
        let rendered = rendered(machine, kind, &kept).map_err(|e| Error::new(ErrorKind::Invalid, e))?;
        (request.env, request.late) = (rendered.env, rendered.late);
        let bound = rendered.bound;
        let viewer = Viewer::Member(machine.name.clone());
        for (name, text) in machine.env.iter().filter(|(_, text)| text.is_secret()) {
            let invalid = |text: String| Error::new(ErrorKind::Invalid, text);
            let real = command::render(text, &known, &viewer).map_err(invalid)?;
            let kept = request.env.get(name).map_or("", String::as_str);
            secrets::check(kept, &real, &known.secrets)?;
        }
        let mount = confide::put(self.session, machine, generation, &known)?;
        confide::tell(machine, mount, &**provider, &mut request)?;
        for port in &machine.ports {
            let name = port.name.as_str().replace('-', "_").to_uppercase();
            let number = port.port.to_string();
            request.env.entry(format!("ENCAMP_PORT_{name}")).or_insert(number);
        }
        request.scope.clone_from(scope);
        request.ports.clone_from(&machine.ports);
        request.aliases = machine.group.iter().map(|(group, _)| group.clone()).collect();
        request.expires = (provider.capabilities().self_expiry != SelfExpiry::None).then_some(self.ends());
        if provider.capabilities().login {
            request.login = Some(camp.providers.logins()?.public_key(&self.session.row.id)?);
        }
        let (request, bytes) = freeze(request, |request| &mut request.stamp)?;
        let expires = request.expires;
        let mut row = self.row(&identity, instance, &prepared.site, request.stamp, bytes, spec, bound)?;
        row.parts = machine.spec_parts(kind);
        let services = machine.services.iter();
        row.services = services
            .map(|service| (service.name.to_string(), service.user.clone()))
            .collect();
        row.expires = expires;
        Ok(row)
    }

    #[expect(clippy::too_many_arguments, reason = "it only puts a row together, each part named")]
    pub(super) fn row(
        &self,
        identity: &Object,
        instance: &InstanceName,
        site: &Site,
        stamp: encamp_core::Stamp,
        request: Vec<u8>,
        spec: String,
        bound: String,
    ) -> Result<IntentRow> {
        let request = String::from_utf8(request)
            .map_err(|e| Error::new(ErrorKind::Internal, "a request is no text").caused_by(e))?;
        Ok(IntentRow {
            environment: identity.environment.clone(),
            class: identity.class,
            object: identity.name.clone(),
            generation: identity.generation,
            instance: instance.clone(),
            site: site.clone(),
            state: IntentState::Planned,
            stamp,
            request,
            id: None,
            unsettled: false,
            epoch: self.session.epoch.number,
            last_sent: None,
            evidence: None,
            spec,
            bound,
            failure: None,
            updated: self.session.camp.clock.now(),
            addrs: Vec::new(),
            ports: Vec::new(),
            data: encamp_core::Value::Null,
            stopped: false,
            set_up: crate::journal::SetUp::default(),
            parts: std::collections::BTreeMap::new(),
            services: std::collections::BTreeMap::new(),
            expires: None,
        })
    }
}

/// The kind's own table of a machine on an instance, with markers for what is late.
pub(crate) fn machine_table(
    camp: &crate::camp::Camp,
    machine: &Machine,
    instance: &InstanceName,
) -> Result<encamp_core::Value> {
    let kind = camp.providers.kind_of(instance).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("no provider is called `{instance}`")).of_machine(&machine.name)
    })?;
    Ok(machine
        .tables
        .get(kind)
        .map_or_else(|| serde_json::json!({}), encamp_file::text::Tree::skeleton))
}

/// What a machine's late parts are, and the hash of them.
pub(crate) struct Rendered {
    pub(crate) env: encamp_core::Env,
    pub(crate) late: BTreeMap<String, encamp_core::Value>,
    pub(crate) bound: String,
}

/// Renders a machine's environment and late leaves. The hash covers what is late alone.
pub(crate) fn rendered(machine: &Machine, kind: &encamp_core::KindName, facts: &Facts) -> Result<Rendered, String> {
    let viewer = Viewer::Member(machine.name.clone());
    let mut env = encamp_core::Env::new();
    let mut late_env = BTreeMap::new();
    for (name, text) in &machine.env {
        let value = text.render(facts, &viewer).map_err(|e| e.to_string())?;
        if text.is_late() {
            late_env.insert(name.clone(), value.clone());
        }
        env.insert(name.clone(), value);
    }
    let late = match machine.tables.get(kind) {
        Some(table) => table.render_late(facts, &viewer).map_err(|e| e.to_string())?,
        None => BTreeMap::new(),
    };
    let set_up = late::set_up(machine, facts, &viewer)?;
    let bound = if late.is_empty() && late_env.is_empty() && set_up.is_empty() {
        String::new()
    } else {
        short_hash(serde_json::json!([late_env, late, set_up]).to_string().as_bytes())
    };
    Ok(Rendered { env, late, bound })
}
