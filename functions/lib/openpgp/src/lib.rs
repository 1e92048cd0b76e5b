//! OpenPGP for one purpose: seal a file for a partner, and prove that what lies in storage is that
//! file, sealed for that partner.
//!
//! The only home of `sequoia-openpgp`. Everything here is synchronous and streams in flat memory;
//! callers run it on a blocking thread, and a long message takes a second one meanwhile. A
//! [`Recipient`] is a certificate that passed the policy, so [`seal`] cannot be reached with a bad
//! one. [`seal`] keeps the session key in memory, inside [`Sealed`]; [`prove`] uses it to open the
//! ciphertext that storage gives back.

mod armor;
mod cfb;
mod container;
mod error;
#[cfg(feature = "generate")]
mod generate;
mod guard;
mod library;
mod parse;
mod policy;
mod prove;
mod recipient;
mod seal;
mod signer;
mod streams;

pub use error::{Error, Holder};
#[cfg(feature = "generate")]
pub use generate::{GenerateOptions, Generated, KeyKind, generate, open};
pub use prove::{Proof, prove};
pub use recipient::{Recipient, Subkey, WARN_BEFORE_EXPIRY_DAYS, Warning};
pub use seal::{Format, SealOptions, Sealed, SealedRecipient, SessionProof, seal};
pub use signer::Signer;

/// The ending of a sealed file's name: `.asc` when armored, `.pgp` when binary.
#[must_use]
pub const fn suffix(armor: bool) -> &'static str {
    if armor { ".asc" } else { ".pgp" }
}
