//! The stamp of everything that this controller makes: derived here, verified here.

use data_encoding::{Encoding, Specification};
use encamp_core::{
    Class, ControllerId, ControllerPrefix, EnvId, Error, ErrorKind, Found, Generation, Keeps, Key, Labels, Result,
    Secret, Stamp, Time, Token, label,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// One object of one environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// Of which environment.
    pub environment: EnvId,
    /// Machine, scope item or image.
    pub class: Class,
    /// Its name: a machine's, or `instance/item` of a scope item.
    pub name: String,
    /// Its generation.
    pub generation: Generation,
}

/// What is written into labels and decides nothing.
#[derive(Debug, Clone)]
pub struct Particulars {
    /// The hash of what decides a replacement.
    pub spec: String,
    /// When the intent was made.
    pub created: Time,
    /// The lease's end as it is known then.
    pub expires: Time,
    /// The epoch of the tenure.
    pub epoch: u64,
}

/// Why something found is, or is not, ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its key and its labels prove it.
    Ours(Object),
    /// By its key it could be ours, and nothing else is kept there.
    OursByKey(Key),
    /// It is not; the text says why.
    Foreign(&'static str),
}

/// One installation: its id and its owner key.
#[derive(Debug, Clone)]
pub struct Controller {
    id: ControllerId,
    owner_key: Secret<[u8; 32]>,
}

/// Characters of the MAC in a key: 80 bits.
const KEY_MAC_CHARS: usize = 16;
/// Characters of the proof label: 160 bits.
const PROOF_CHARS: usize = 32;
/// Characters of the slug in a key.
const SLUG_CHARS: usize = 16;

impl Controller {
    /// A controller with its id and owner key.
    pub fn new(id: ControllerId, owner_key: [u8; 32]) -> Self {
        Self {
            id,
            owner_key: Secret::new(owner_key),
        }
    }

    /// Its id.
    pub fn id(&self) -> &ControllerId {
        &self.id
    }

    /// What all its keys begin with.
    pub fn prefix(&self) -> ControllerPrefix {
        ControllerPrefix::new(&self.id)
    }

    /// The key of an object.
    pub fn key(&self, object: &Object) -> Key {
        let mac = self.mac(b"key", object);
        Key::new(format!(
            "ec-{}-{}-{}-g{}-{}",
            self.id,
            object.environment,
            slug(&object.name),
            object.generation,
            &mac[..KEY_MAC_CHARS]
        ))
    }

    /// The whole stamp of an object; the token is that of `request`, the frozen request without a token.
    pub fn stamp(&self, object: &Object, particulars: &Particulars, token: Token) -> Stamp {
        let labels = Labels::from([
            (label::CONTROLLER.to_owned(), self.id.to_string()),
            (label::ENVIRONMENT.to_owned(), object.environment.to_string()),
            (label::MACHINE.to_owned(), object.name.clone()),
            (label::GENERATION.to_owned(), object.generation.to_string()),
            (label::SPEC.to_owned(), particulars.spec.clone()),
            (label::CREATED.to_owned(), particulars.created.to_string()),
            (label::EXPIRES.to_owned(), particulars.expires.to_string()),
            (label::EPOCH.to_owned(), particulars.epoch.to_string()),
            (
                label::PROOF.to_owned(),
                self.mac(b"proof", object)[..PROOF_CHARS].to_owned(),
            ),
        ]);
        Stamp::new(self.key(object), token, labels)
    }

    /// Whether something that a listing found is ours.
    pub fn verify(&self, found: &Found, keeps: Keeps) -> Verdict {
        if keeps == Keeps::KeyOnly {
            return if found.key.starts_with(self.prefix().as_str()) {
                Verdict::OursByKey(Key::new(found.key.clone()))
            } else {
                Verdict::Foreign("its name does not begin with our prefix")
            };
        }
        if found.labels.get(label::CONTROLLER).map(String::as_str) != Some(self.id.as_str()) {
            return Verdict::Foreign("its labels name another controller");
        }
        let Some(object) = object_of_labels(found.class, &found.labels) else {
            return Verdict::Foreign("its labels are incomplete");
        };
        if found.labels.get(label::PROOF).map(String::as_str) != Some(&self.mac(b"proof", &object)[..PROOF_CHARS]) {
            return Verdict::Foreign("its labels carry no proof of ours");
        }
        if found.key != self.key(&object).as_str() {
            return Verdict::Foreign("its name is not the one that its labels belong to");
        }
        Verdict::Ours(object)
    }

    /// HMAC-SHA256 under the owner key over all that identifies an object, each field with its length.
    fn mac(&self, purpose: &[u8], object: &Object) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.owner_key.reveal())
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        let generation = object.generation.to_string();
        for field in [
            purpose,
            self.id.as_str().as_bytes(),
            object.environment.as_str().as_bytes(),
            object.class.as_str().as_bytes(),
            object.name.as_bytes(),
            generation.as_bytes(),
        ] {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        base32().encode(&mac.finalize().into_bytes())
    }
}

fn object_of_labels(class: Class, labels: &Labels) -> Option<Object> {
    Some(Object {
        environment: EnvId::new(labels.get(label::ENVIRONMENT)?.clone()).ok()?,
        class,
        name: labels.get(label::MACHINE)?.clone(),
        generation: Generation(labels.get(label::GENERATION)?.parse().ok()?),
    })
}

/// The token of a frozen request: a hash of its bytes, 52 characters.
pub fn token_of(request: &[u8]) -> Token {
    Token::new(base32().encode(&Sha256::digest(request)))
}

/// A short hash for people and labels: 16 characters.
pub fn short_hash(bytes: &[u8]) -> String {
    base32().encode(&Sha256::digest(bytes))[..16].to_owned()
}

fn base32() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str(encamp_core::ID_ALPHABET);
    specification
        .encoding()
        .unwrap_or_else(|_| unreachable!("the alphabet has 32 distinct ASCII characters"))
}

/// A name as part of a key: at most 16 characters; a group's index stays when it is cut.
fn slug(name: &str) -> String {
    let clean: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        })
        .collect();
    if clean.len() <= SLUG_CHARS {
        return clean;
    }
    let index = clean
        .rsplit_once('-')
        .map(|(_, index)| index)
        .filter(|index| index.len() <= 5 && index.bytes().all(|b| b.is_ascii_digit()));
    match index {
        Some(index) => format!(
            "{}-{index}",
            clean[..SLUG_CHARS - index.len() - 1].trim_end_matches('-')
        ),
        None => clean[..SLUG_CHARS].trim_end_matches('-').to_owned(),
    }
}

/// Freezes a request: its bytes with the token of the bytes without one.
pub fn freeze<T: serde::Serialize>(
    mut request: T,
    stamp_of: impl FnOnce(&mut T) -> &mut Stamp,
) -> Result<(T, Vec<u8>)> {
    let internal =
        |e: serde_json::Error| Error::new(ErrorKind::Internal, "a request cannot be written as JSON").caused_by(e);
    let bytes = serde_json::to_vec(&request).map_err(internal)?;
    stamp_of(&mut request).token = token_of(&bytes);
    let bytes = serde_json::to_vec(&request).map_err(internal)?;
    Ok((request, bytes))
}

#[cfg(test)]
mod tests {
    use encamp_core::{Phase, Site};

    use super::*;

    fn controller() -> Controller {
        Controller::new(ControllerId::new("4n8tqz").unwrap(), [7; 32])
    }

    fn object(name: &str, generation: u32) -> Object {
        Object {
            environment: EnvId::new("0123456789").unwrap(),
            class: Class::Machine,
            name: name.to_owned(),
            generation: Generation(generation),
        }
    }

    fn particulars() -> Particulars {
        let at = Time::from_unix_millis(0);
        Particulars {
            spec: "s".into(),
            created: at,
            expires: at,
            epoch: 1,
        }
    }

    fn found(stamp: &Stamp) -> Found {
        let mut found = Found::new(Class::Machine, stamp.key.as_str(), "id", Site::new("s"), Phase::Running);
        found.labels = stamp.labels.clone();
        found
    }

    #[test]
    fn keys_are_dns_safe_and_fit() {
        for (name, generation) in [
            ("a", 1),
            ("docker/net", 4_000_000_000),
            (&*"x".repeat(63), 17),
            ("a-very-long-name-of-a-group-9999", 3),
        ] {
            let key = controller().key(&object(name, generation));
            assert!(key.as_str().len() <= 63 + 4, "{key}");
            assert!(
                key.as_str()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{key}"
            );
        }
        assert!(controller().key(&object("abcdefghijklmnopqrst", 9999)).as_str().len() <= 63);
    }

    #[test]
    fn a_cut_slug_keeps_the_index() {
        assert_eq!(slug("browser-grid-node-firefox-12"), "browser-grid-12");
        assert_eq!(slug("db"), "db");
        assert_eq!(slug("docker/net"), "docker-net");
    }

    #[test]
    fn what_differs_gives_another_key() {
        let keys: std::collections::BTreeSet<_> = [object("web-0", 1), object("web-1", 1), object("web-0", 2)]
            .iter()
            .map(|o| controller().key(o))
            .collect();
        assert_eq!(keys.len(), 3);
        let mut scope = object("web-0", 1);
        scope.class = Class::Scope;
        assert_ne!(controller().key(&scope), controller().key(&object("web-0", 1)));
        let other = Controller::new(ControllerId::new("4n8tqz").unwrap(), [8; 32]);
        assert_ne!(other.key(&object("web-0", 1)), controller().key(&object("web-0", 1)));
    }

    #[test]
    fn only_our_own_verifies() {
        let controller = controller();
        let stamp = controller.stamp(&object("web-0", 1), &particulars(), Token::new("t"));
        assert_eq!(
            controller.verify(&found(&stamp), Keeps::Labels),
            Verdict::Ours(object("web-0", 1))
        );

        let mut renamed = found(&stamp);
        renamed.key = "somebody-elses".into();
        assert!(matches!(
            controller.verify(&renamed, Keeps::Labels),
            Verdict::Foreign(_)
        ));

        let mut relabelled = found(&stamp);
        relabelled.labels.insert(label::MACHINE.into(), "web-1".into());
        assert!(matches!(
            controller.verify(&relabelled, Keeps::Labels),
            Verdict::Foreign(_)
        ));

        let stranger = Controller::new(ControllerId::new("4n8tqz").unwrap(), [8; 32]);
        assert!(matches!(
            stranger.verify(&found(&stamp), Keeps::Labels),
            Verdict::Foreign(_)
        ));
    }

    #[test]
    fn a_frozen_request_carries_the_hash_of_itself() {
        let stamp = controller().stamp(&object("a", 1), &particulars(), Token::new(""));
        let make = |body| {
            encamp_core::Create::new(
                stamp.clone(),
                Site::new("s"),
                body,
                encamp_core::Name::new("a").unwrap(),
            )
        };
        let (one, bytes) = freeze(make(serde_json::json!(1)), |r| &mut r.stamp).unwrap();
        let (two, _) = freeze(make(serde_json::json!(2)), |r| &mut r.stamp).unwrap();
        assert_ne!(one.stamp.token, two.stamp.token);
        assert!(one.stamp.token.as_str().len() <= 64);
        assert_eq!(serde_json::from_slice::<encamp_core::Create>(&bytes).unwrap(), one);
    }
}
