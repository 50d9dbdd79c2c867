//! Everything that carries a controller's key.

use std::collections::{BTreeMap, HashMap};

use bollard::query_parameters::{ListContainersOptions, ListImagesOptions, ListNetworksOptions, ListVolumesOptions};
use encamp_core::{Class, Coverage, Cx, Error, Found, List, Listing, Result};

use super::Engine;
use crate::convert::{found_image, found_machine, found_network, found_volume};
use crate::error::Effect;

/// What the engine is asked to filter by.
type Filter = HashMap<String, Vec<String>>;

/// The engine's filter by name matches parts of names, and not the same parts in every version.
fn by_name(list: &List) -> Filter {
    HashMap::from([("name".to_owned(), vec![list.prefix()])])
}

fn by_label(list: &List) -> Filter {
    let labels = list.labels();
    let labels = labels.iter().map(|(name, value)| format!("{name}={value}"));
    HashMap::from([("label".to_owned(), labels.collect())])
}

impl Engine {
    /// Containers, networks, volumes and snapshots. What could not be listed makes the coverage partial; what
    /// was seen stands there all the same.
    pub(crate) async fn list(&self, cx: &Cx, list: &List) -> Listing {
        let (by_name, by_label) = (by_name(list), by_label(list));
        let (engine, parts) = tokio::join!(self.same_engine(cx), async {
            let (c1, c2, n1, n2, v1, v2, i) = tokio::join!(
                self.list_machines(cx, &by_name),
                self.list_machines(cx, &by_label),
                self.list_networks(cx, &by_name),
                self.list_networks(cx, &by_label),
                self.list_volumes(cx, &by_name),
                self.list_volumes(cx, &by_label),
                self.list_snapshots(cx, &by_label),
            );
            [c1, c2, n1, n2, v1, v2, i]
        });
        let mut trouble = engine.err();
        let mut found: BTreeMap<(Class, String), Found> = BTreeMap::new();
        for part in parts {
            match part {
                Ok(part) => found.extend(
                    part.into_iter()
                        .filter(|one| list.takes(&one.key, &one.labels))
                        .map(|one| ((one.class, one.id.clone()), one)),
                ),
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        let mut listing = Listing::default();
        listing.found = found.into_values().collect();
        listing.coverage = vec![match trouble {
            None => Coverage::complete(self.site.clone()),
            Some(error) => Coverage::partial(self.site.clone(), error),
        }];
        listing
    }

    async fn list_machines(&self, cx: &Cx, filter: &Filter) -> Result<Vec<Found>> {
        let options = ListContainersOptions {
            all: true,
            filters: Some(filter.clone()),
            ..ListContainersOptions::default()
        };
        let ask = || self.docker.list_containers(Some(options.clone()));
        let listed = self.read_settled(cx, ask).await;
        let listed = listed.map_err(|failure| self.listing_failed(failure))?;
        Ok(listed.into_iter().map(|one| found_machine(&self.site, one)).collect())
    }

    async fn list_networks(&self, cx: &Cx, filter: &Filter) -> Result<Vec<Found>> {
        let options = ListNetworksOptions {
            filters: Some(filter.clone()),
        };
        let ask = || self.docker.list_networks(Some(options.clone()));
        let listed = self.read_settled(cx, ask).await;
        let listed = listed.map_err(|failure| self.listing_failed(failure))?;
        Ok(listed.into_iter().map(|one| found_network(&self.site, one)).collect())
    }

    async fn list_volumes(&self, cx: &Cx, filter: &Filter) -> Result<Vec<Found>> {
        let options = ListVolumesOptions {
            filters: Some(filter.clone()),
        };
        let listed = self.read(cx, self.docker.list_volumes(Some(options))).await;
        let listed = listed.map_err(|failure| self.listing_failed(failure))?;
        let volumes = listed.volumes.unwrap_or_default();
        Ok(volumes.into_iter().map(|one| found_volume(&self.site, one)).collect())
    }

    async fn list_snapshots(&self, cx: &Cx, filter: &Filter) -> Result<Vec<Found>> {
        let options = ListImagesOptions {
            filters: Some(filter.clone()),
            ..ListImagesOptions::default()
        };
        let listed = self.read(cx, self.docker.list_images(Some(options))).await;
        let listed = listed.map_err(|failure| self.listing_failed(failure))?;
        Ok(listed
            .into_iter()
            .filter_map(|one| found_image(&self.site, one))
            .collect())
    }

    fn listing_failed(&self, failure: crate::error::Failure) -> Error {
        self.failed(failure, Effect::Read)
    }
}
