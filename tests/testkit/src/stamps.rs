//! Stands in for the engine where stamps are derived.

use std::hash::{DefaultHasher, Hash, Hasher};

use encamp_core::{
    Class, ControllerId, ControllerPrefix, Create, EnvId, Error, ErrorKind, ID_ALPHABET, Key, Labels, Result, Stamp,
    Time, Token, label,
};

/// Makes stamps of one random environment of one random controller. The proof is a hash under a random seed:
/// what a provider must keep and compare looks as the engine's does, and proves nothing.
#[derive(Debug, Clone)]
pub struct StampMaker {
    controller: ControllerId,
    environment: EnvId,
    seed: u64,
    created: Time,
}

/// Characters of the id alphabet from a number's bits.
fn letters(mut bits: u128, length: usize) -> String {
    let alphabet = ID_ALPHABET.as_bytes();
    let letter = |_| {
        let letter = alphabet[usize::try_from(bits % 32).unwrap_or(0)];
        bits >>= 5;
        char::from(letter)
    };
    (0..length).map(letter).collect()
}

fn random() -> Result<u64> {
    getrandom::u64().map_err(|error| Error::new(ErrorKind::Internal, "there is no randomness").with("why", error))
}

fn named<T>(checked: std::result::Result<T, encamp_core::NameError>) -> Result<T> {
    checked.map_err(|error| Error::new(ErrorKind::Internal, "an id of the suite is none").caused_by(error))
}

impl StampMaker {
    /// A random environment of a random controller; its things are said to be made at `created`.
    pub fn random(created: Time) -> Result<Self> {
        Ok(Self {
            controller: named(ControllerId::new(letters(random()?.into(), 6)))?,
            environment: named(EnvId::new(letters(random()?.into(), 10)))?,
            seed: random()?,
            created,
        })
    }

    /// Another environment of the same controller.
    pub fn sibling(&self) -> Result<Self> {
        Ok(Self {
            environment: named(EnvId::new(letters(random()?.into(), 10)))?,
            ..self.clone()
        })
    }

    /// The environment.
    pub fn environment(&self) -> &EnvId {
        &self.environment
    }

    /// What all keys of the controller begin with.
    pub fn prefix(&self) -> ControllerPrefix {
        ControllerPrefix::new(&self.controller)
    }

    fn hash(&self, facts: impl Hash) -> u128 {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (self.seed, salt, &facts).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        half(0) << 64 | half(1)
    }

    /// The stamp of a generation of an object.
    pub fn stamp(&self, object: &str, class: Class, generation: u32) -> Stamp {
        let facts = (self.environment.as_str(), object, class, generation);
        let mac = letters(self.hash(facts), 16);
        let slug: String = object.chars().take(16).collect();
        let key = format!("ec-{}-{}-{slug}-g{generation}-{mac}", self.controller, self.environment);
        let labels = [
            (label::CONTROLLER, self.controller.to_string()),
            (label::ENVIRONMENT, self.environment.to_string()),
            (label::MACHINE, object.to_owned()),
            (label::GENERATION, generation.to_string()),
            (label::SPEC, letters(self.hash((facts, "spec")), 16)),
            (label::CREATED, self.created.to_string()),
            (label::EPOCH, "1".to_owned()),
            (label::PROOF, letters(self.hash((facts, "proof")), 24)),
        ];
        let labels: Labels = labels.map(|(name, value)| (name.to_owned(), value)).into();
        let token = letters(self.hash((facts, "token")), 24);
        Stamp::new(Key::new(key), Token::new(token), labels)
    }

    /// A stamp under the same key that somebody else's proof stands in.
    #[must_use]
    pub fn forged(&self, stamp: &Stamp) -> Stamp {
        let mut forged = stamp.clone();
        let proof = letters(self.hash((stamp.key.as_str(), "forged")), 24);
        forged.labels.insert(label::PROOF.to_owned(), proof);
        forged
    }

    /// The request with the token that goes with it: a hash of the request without the token.
    #[must_use]
    pub fn freeze(&self, mut request: Create) -> Create {
        request.stamp.token = Token::new("");
        let text = serde_json::to_string(&request).unwrap_or_default();
        request.stamp.token = Token::new(letters(self.hash(text), 24));
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_the_same_for_the_same_object_and_fit_a_dns_label() {
        let maker = StampMaker::random(Time::from_unix_millis(0)).unwrap();
        let stamp = |object, generation| maker.stamp(object, Class::Machine, generation);
        assert_eq!(stamp("web", 1), stamp("web", 1));
        assert_ne!(stamp("web", 1).key, stamp("web", 2).key);
        assert_ne!(stamp("web", 1).key, maker.stamp("web", Class::Scope, 1).key);
        assert!(stamp("a-very-long-name-of-a-machine", 10).key.as_str().len() <= 63);
        let forged = maker.forged(&stamp("web", 1));
        assert!(!stamp("web", 1).matches(forged.key.as_str(), &forged.labels));
    }
}
