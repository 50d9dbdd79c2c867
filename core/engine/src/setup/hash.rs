//! The hash of a file.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// Adds everything that is read to a hash.
pub(super) fn add(mut from: impl Read, hash: &mut Sha256) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// The hash so far, as lower-case hexadecimal digits.
pub(super) fn hex(hash: Sha256) -> String {
    data_encoding::HEXLOWER.encode(&hash.finalize())
}
