//! Which level is reached at which server, against servers that allow little or lie.

use super::*;
use std::time::Duration;

use crate::bench;
use sftp::server::{Hashes, Quirks};
use sha2::{Digest, Sha256};

const CONTENT: &[u8] = b"sealed content";

/// What a server with these quirks, which holds `held`, makes of a check for [`CONTENT`].
async fn verdict(quirks: Quirks, held: Option<&[u8]>, level: Verify) -> Result<Verified, String> {
    let (_server, folder, session) = bench::target(quirks).await;
    if let Some(held) = held {
        std::fs::write(folder.path().join("f"), held).unwrap();
    }
    let sha256 = hex::encode(Sha256::digest(CONTENT));
    let expected = Expected { bytes: CONTENT.len() as u64, sha256: &sha256 };
    let check =
        Check { session: &session, path: "/f", expected: &expected, deadline: Deadline::NONE };
    let result = verify_path(&check, level, &mut ReadBack::default()).await;
    result.map(|level| level.expect("no deadline")).map_err(|failure| failure.code.to_string())
}

#[tokio::test]
async fn every_level_at_every_kind_of_server() {
    use Verify::{Auto, ReadBack, ServerHash, Size};
    let open = false;
    let drop_box = true;
    let denied = || Err("sftp.permission_denied".to_owned());
    let differs = || Err(MISMATCH.to_owned());
    for (level, drop_box, hashes, verdict_expected) in [
        (Auto, open, Hashes::None, Ok(Verified::ReadBack)),
        // Reading back is stronger than what the server says about itself.
        (Auto, open, Hashes::Wrong, Ok(Verified::ReadBack)),
        (Auto, drop_box, Hashes::ByName, Ok(Verified::ServerHash)),
        (Auto, drop_box, Hashes::Wrong, differs()),
        (Auto, drop_box, Hashes::None, Ok(Verified::Size)),
        (Auto, drop_box, Hashes::OnlyMd5, Ok(Verified::Size)),
        (Auto, drop_box, Hashes::Refused, Ok(Verified::Size)),
        // By an open file, which a drop box does not open.
        (Auto, drop_box, Hashes::ByHandle, Ok(Verified::Size)),
        (ReadBack, open, Hashes::ByName, Ok(Verified::ReadBack)),
        (ReadBack, drop_box, Hashes::ByName, denied()),
        (ServerHash, open, Hashes::ByName, Ok(Verified::ServerHash)),
        (ServerHash, open, Hashes::ByHandle, Ok(Verified::ServerHash)),
        (ServerHash, open, Hashes::Wrong, differs()),
        (ServerHash, open, Hashes::OnlyMd5, Ok(Verified::ReadBack)),
        (ServerHash, open, Hashes::None, Ok(Verified::ReadBack)),
        (ServerHash, drop_box, Hashes::ByName, Ok(Verified::ServerHash)),
        (ServerHash, drop_box, Hashes::None, denied()),
        (Size, open, Hashes::Wrong, Ok(Verified::Size)),
        (Size, drop_box, Hashes::None, Ok(Verified::Size)),
    ] {
        let quirks = Quirks { hashes, drop_box, ..Quirks::default() };
        let what = format!("{level:?} {hashes:?} drop box {drop_box}");
        assert_eq!(verdict(quirks, Some(CONTENT), level).await, verdict_expected, "{what}");
    }
}

#[tokio::test]
async fn other_content_is_found_at_every_level_that_can() {
    let hashes = Hashes::ByName;
    let differs = Err(MISMATCH.to_owned());
    for (level, drop_box, same_size) in [
        (Verify::Auto, false, differs.clone()),
        (Verify::Auto, true, differs.clone()),
        (Verify::ReadBack, false, differs.clone()),
        (Verify::ServerHash, false, differs.clone()),
        (Verify::Size, false, Ok(Verified::Size)),
    ] {
        let quirks = || Quirks { hashes, drop_box, ..Quirks::default() };
        let mut other = CONTENT.to_vec();
        other[3] ^= 1;
        assert_eq!(verdict(quirks(), Some(&other), level).await, same_size, "{level:?}");
        let short = &CONTENT[1..];
        assert_eq!(verdict(quirks(), Some(short), level).await, differs, "{level:?} shorter");
        assert_eq!(verdict(quirks(), None, level).await, differs, "{level:?} nothing");
    }
}

#[tokio::test]
async fn a_file_that_ends_early_when_it_is_read_differs() {
    let quirks = Quirks { ends_at: Some(5), ..Quirks::default() };
    assert_eq!(verdict(quirks, Some(CONTENT), Verify::Auto).await, Err(MISMATCH.to_owned()));
}

#[test]
fn a_temporary_file_that_vanished_is_no_change_of_the_source() {
    let gone = Failure::source_changed("sftp.no_such_file", "x".to_owned());
    assert_eq!(lost_source(gone).class, ErrorClass::Transient);
    let other = Failure::rejected("x", "x".to_owned());
    assert_eq!(lost_source(other).class, ErrorClass::Rejected);
}

#[tokio::test]
async fn reading_back_goes_on_where_it_was_left_and_ends_with_the_last_piece() {
    let content: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let (_server, folder, session) = bench::target(Quirks::default()).await;
    std::fs::write(folder.path().join("f"), &content).unwrap();
    let (bytes, sha256) = (content.len() as u64, hex::encode(Sha256::digest(&content)));
    let expected = Expected { bytes, sha256: &sha256 };
    let deadline = Deadline::after(Duration::ZERO);
    let check = Check { session: &session, path: "/f", expected: &expected, deadline };
    let (mut back, mut before) = (ReadBack::default(), 0);
    let verified = loop {
        let verified = verify_path(&check, Verify::ReadBack, &mut back).await.unwrap();
        if let Some(verified) = verified {
            break verified;
        }
        assert!(back.bytes > before && back.bytes < bytes, "{before}, then {}", back.bytes);
        before = back.bytes;
    };
    assert_eq!(verified, Verified::ReadBack);
    assert!(before > 0, "the deadline was not heeded");
}

#[tokio::test]
async fn only_a_file_without_a_temporary_name_may_be_gone_already() {
    let (_server, folder, session) = bench::target(Quirks::default()).await;
    let sha256 = hex::encode(Sha256::digest(CONTENT));
    let expected = Expected { bytes: CONTENT.len() as u64, sha256: &sha256 };
    let check =
        Check { session: &session, path: "/f", expected: &expected, deadline: Deadline::NONE };
    let (mut target, mut back) = (bench::profile(), ReadBack::default());
    let gone = verify_written(&check, &target, &mut back).await.unwrap_err();
    assert_eq!(gone.code, MISMATCH);
    target.rename = Rename::Direct;
    let gone = verify_written(&check, &target, &mut back).await.unwrap();
    assert_eq!(gone, Some(Verified::Size));
    std::fs::write(folder.path().join("f"), CONTENT).unwrap();
    let there = verify_written(&check, &target, &mut back).await.unwrap();
    assert_eq!(there, Some(Verified::ReadBack));
}
