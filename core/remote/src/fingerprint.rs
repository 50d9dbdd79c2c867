//! Public keys in OpenSSH's form, and what people compare them by.

use data_encoding::{BASE64, BASE64_NOPAD};
use encamp_core::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

/// A host's public key: its algorithm and its bytes in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostKey {
    algorithm: String,
    base64: String,
    fingerprint: String,
}

impl HostKey {
    /// Reads `ssh-ed25519 AAAA… comment`. A line of a `known_hosts` file, which names hosts first, is none.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let invalid = |why: &str| {
            Error::new(
                ErrorKind::Invalid,
                format!("a host key is no public key in OpenSSH's form: {why}"),
            )
            .with("key", text)
        };
        if text.contains(['\n', '\r']) {
            return Err(invalid("it has several lines"));
        }
        let mut words = text.split_ascii_whitespace();
        let (algorithm, base64) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let bytes = BASE64
            .decode(base64.as_bytes())
            .map_err(|_| invalid("its second word is not base64"))?;
        // The bytes begin with the length of the algorithm's name and the name.
        let inner = bytes.get(4..).and_then(|rest| rest.get(..algorithm.len()));
        if algorithm.is_empty() || inner != Some(algorithm.as_bytes()) {
            return Err(invalid("its bytes are of another algorithm than its first word"));
        }
        Ok(Self {
            algorithm: algorithm.to_owned(),
            base64: base64.to_owned(),
            fingerprint: format!("SHA256:{}", BASE64_NOPAD.encode(&Sha256::digest(&bytes))),
        })
    }

    /// All of an access. Where there is none, no key is accepted.
    pub(crate) fn parse_all(texts: &[String]) -> Result<Vec<Self>> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    /// `ssh-ed25519`.
    #[cfg(feature = "russh")]
    pub(crate) fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// `ssh-ed25519 AAAA…`.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.algorithm, self.base64)
    }

    /// `SHA256:…`, as OpenSSH prints it.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl github.com";

    #[test]
    fn a_key_has_the_fingerprint_that_openssh_prints() {
        let key = HostKey::parse(KEY).unwrap();
        assert_eq!(key.fingerprint(), "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
        assert!(KEY.starts_with(&key.line()));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let known_hosts = format!("github.com {KEY}");
        let other = KEY.replace("ssh-ed25519", "ssh-rsa");
        let two = format!("{KEY}\n* {KEY}");
        for wrong in ["", "ssh-ed25519", "ssh-ed25519 ???", &known_hosts, &other, &two] {
            assert_eq!(HostKey::parse(wrong).unwrap_err().kind(), ErrorKind::Invalid, "{wrong}");
        }
    }
}
