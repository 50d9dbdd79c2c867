//! `healthcheck`: the machine's own check, that of its image, is content.

use encamp_core::{Health, Report};

use crate::inside::Inside;

pub(super) async fn attempt(inside: &Inside) -> Result<(), String> {
    let observed = inside.look().await.map_err(|error| Report(&error).to_string())?;
    match observed.health {
        Some(Health::Healthy) => Ok(()),
        Some(Health::Starting) => Err("its check has not held yet".to_owned()),
        Some(Health::Unhealthy { said: Some(said) }) => Err(format!("unhealthy \"{}\"", said.trim())),
        Some(Health::Unhealthy { said: None }) => Err("unhealthy".to_owned()),
        None => Err("its image has no health check".to_owned()),
    }
}
