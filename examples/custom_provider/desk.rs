//! A whole kind of machines: desks, which are folders of this host. Nothing runs on a desk; a kind that offers commands
//! adds `exec`, and says so in its capabilities.

use std::{fs, io, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use encamp_core::{
    Ambient, Capabilities, Class, Create, Created, Cx, Error, ErrorKind, Found, InstanceName, Keeps, Kind, KindInfo,
    KindName, List, Listing, Phase, Problem, Provider, Removal, Result, Settle, Site, Target, Ticket, Value,
};
use serde_json::{from_slice, json};

#[derive(Debug)]
struct Desks(KindInfo);

/// The kind `desk`. Its table may have a `note`, which lies on the desk.
pub(crate) fn kind() -> Arc<dyn Kind> {
    let name = KindName::new("desk").expect("it is a name");
    // What holds, and no more: a folder's name is unique, so that a create may be repeated.
    let can = Capabilities::new(Keeps::Labels, Settle::Replay { token_life: None });
    let table = json!({ "properties": { "note": { "type": "string" } }, "additionalProperties": false });
    Arc::new(Desks(KindInfo::new(name, "1", json!({}), table, can)))
}

#[async_trait]
impl Kind for Desks {
    fn info(&self) -> &KindInfo {
        &self.0
    }
    fn examine(&self, table: &Value) -> Vec<Problem> {
        let wrong = table.get("note").filter(|note| !note.is_string());
        Vec::from_iter(wrong.map(|_| Problem::new("/note", "a note is a text")))
    }
    async fn connect(&self, _: &Cx, _: InstanceName, _: Value, ambient: Ambient) -> Result<Arc<dyn Provider>> {
        let nowhere = || Error::new(ErrorKind::Invalid, "there is no state folder");
        let folder = ambient.state().ok_or_else(nowhere)?.join("desks");
        fs::create_dir_all(&folder).map_err(failed)?;
        let (site, can) = (Site::new(folder.to_string_lossy()), self.0.most.clone());
        Ok(Arc::new(Room { folder, site, can }))
    }
}

#[derive(Debug)]
struct Room {
    folder: PathBuf,
    site: Site,
    can: Capabilities,
}

fn failed(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the folder of desks cannot be used").caused_by(error)
}
fn taken() -> Error {
    Error::new(ErrorKind::Conflict, "something else has this name")
}

impl Room {
    /// The request that the desk of that name was made of.
    fn at(&self, key: &str) -> Result<Option<Create>> {
        let text = fs::read(self.folder.join(key).join("desk.json"));
        if text.as_ref().is_err_and(|it| it.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        from_slice(&text.map_err(failed)?).map_err(|e| failed(e.into()))
    }
}

#[async_trait]
impl Provider for Room {
    fn capabilities(&self) -> &Capabilities {
        &self.can
    }
    fn site(&self) -> &Site {
        &self.site
    }
    async fn list(&self, _: &Cx, a: List) -> Result<Listing> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let key = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            // What is being made, or on its way out, has another name.
            let desk = self.at(&key)?.filter(|it| it.stamp.key.as_str() == key);
            if let Some(desk) = desk.filter(|it| a.takes(&key, &it.stamp.labels)) {
                let mut one = Found::new(Class::Machine, &key, &key, self.site.clone(), Phase::Running);
                one.labels = desk.stamp.labels;
                found.push(one);
            }
        }
        Ok(Listing::complete(self.site.clone(), found))
    }
    async fn create(&self, _: &Cx, _: &Ticket, a: Create) -> Result<Created> {
        let (key, note) = (a.stamp.key.as_str(), a.body["note"].as_str());
        let made = tempfile::tempdir_in(&self.folder).map_err(failed)?;
        fs::write(made.path().join("note"), note.unwrap_or_default()).map_err(failed)?;
        fs::write(made.path().join("new"), json!(a).to_string()).map_err(failed)?;
        fs::rename(made.path().join("new"), made.path().join("desk.json")).map_err(failed)?;
        let created = Created::new(key, Phase::Running);
        // Put in its place as a whole, which one of several creates at once does.
        if fs::rename(made.path(), self.folder.join(key)).is_ok() {
            return Ok(created);
        }
        let same = self.at(key)?.is_some_and(|there| there.stamp == a.stamp);
        if same { Ok(created.adopted()) } else { Err(taken()) }
    }
    async fn destroy(&self, _: &Cx, _: &Ticket, a: Target) -> Result<Removal> {
        let key = a.stamp.key.as_str();
        if let Some(there) = self.at(key)? {
            if !a.stamp.matches(key, &there.stamp.labels) {
                return Err(taken());
            }
            let away = tempfile::tempdir_in(&self.folder).map_err(failed)?;
            fs::rename(self.folder.join(key), away.path()).map_err(failed)?;
        }
        Ok(Removal::Gone)
    }
}
