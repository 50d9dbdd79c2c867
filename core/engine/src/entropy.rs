//! Randomness, injected.

use std::fmt::Debug;

use encamp_core::{ControllerId, EnvId, Error, ErrorKind, ID_ALPHABET, Result};

/// Where ids and keys come from.
pub trait Entropy: Debug + Send + Sync + 'static {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]) -> Result<()>;
}

/// The operating system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        getrandom::fill(bytes)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("the system gives no randomness: {e}")))
    }
}

/// `length` characters of [`ID_ALPHABET`].
fn id(entropy: &dyn Entropy, length: usize) -> Result<String> {
    let mut bytes = vec![0; length];
    entropy.fill(&mut bytes)?;
    // 256 is a multiple of the alphabet's 32, so no character is favoured.
    Ok(bytes
        .iter()
        .map(|byte| char::from(ID_ALPHABET.as_bytes()[usize::from(byte % 32)]))
        .collect())
}

/// A new controller's id.
pub fn controller_id(entropy: &dyn Entropy) -> Result<ControllerId> {
    ControllerId::new(id(entropy, 6)?).map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))
}

/// A new environment's id.
pub fn environment_id(entropy: &dyn Entropy) -> Result<EnvId> {
    EnvId::new(id(entropy, 10)?).map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))
}
