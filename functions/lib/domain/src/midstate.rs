//! An unfinished SHA-256, kept between two invocations.

use serde::{Deserialize, Serialize};
use sha2::Sha256;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};

/// The SHA-256 of the bytes so far, unfinished: in JSON its state in hex. Holds some of the last
/// bytes that were hashed, 63 at most.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Midstate(String);

impl Midstate {
    /// Keeps a hash as it stands.
    #[must_use]
    pub fn of(hash: &Sha256) -> Self {
        Self(hex::encode(hash.serialize()))
    }

    /// The hash, to go on with; `None` when the text is damaged.
    #[must_use]
    pub fn hash(&self) -> Option<Sha256> {
        let state = hex::decode(&self.0).ok()?;
        let state = SerializedState::<Sha256>::try_from(state.as_slice()).ok()?;
        Sha256::deserialize(&state).ok()
    }
}

impl std::fmt::Debug for Midstate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Midstate(…)")
    }
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::*;

    #[test]
    fn a_hash_goes_on_where_it_was_left() {
        let content: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
        for at in [0, 1, 63, 64, 65, 1000, content.len()] {
            let (before, after) = content.split_at(at);
            let kept = Midstate::of(&Sha256::new_with_prefix(before));
            let kept: Midstate =
                serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
            let mut hash = kept.hash().unwrap();
            hash.update(after);
            assert_eq!(hash.finalize(), Sha256::digest(&content), "left at {at}");
        }
    }

    #[test]
    fn a_damaged_text_is_no_hash() {
        for text in ["", "00", "not hex", &"ff".repeat(105)] {
            assert!(Midstate(text.to_owned()).hash().is_none(), "{text}");
        }
    }
}
