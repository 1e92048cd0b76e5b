//! What a server must accept and refuse of multipart uploads and checksums, asked without the
//! streams of this package in between.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::{Broken, Outcome, ensure, expect_pattern, pattern};
use crate::checksum::Crc64;
use crate::fault::{Fault, FaultKind};
use crate::upload::UploadedPart;
use crate::{Error, Range, Store};

pub(super) const PART: usize = 5 * 1024 * 1024;

pub(super) async fn parts(store: &Store, prefix: &str) -> Outcome {
    let key = format!("{prefix}parts/object");
    let id = store.create_upload(&key).await?;
    let piece = |number: u64, len| pattern((number - 1) * 5 * 1024 * 1024, len);
    // Out of order, and the second part twice: the later one counts.
    let third = send(store, &key, &id, 3, piece(3, 1_000)).await?;
    let stale = send(store, &key, &id, 2, Bytes::from(vec![7; PART])).await?;
    let first = send(store, &key, &id, 1, piece(1, PART)).await?;
    let second = send(store, &key, &id, 2, piece(2, PART)).await?;
    let refused = [
        ("a part that was replaced", vec![first.clone(), stale, third.clone()]),
        ("parts out of order", vec![second.clone(), first.clone(), third.clone()]),
        ("a small part before the end", vec![third.clone(), part(4, &third)]),
        ("a part that was never sent", vec![first.clone(), part(9, &first)]),
        ("no part at all", Vec::new()),
    ];
    for (what, list) in refused {
        let done = store.complete_upload(&key, &id, &list).await;
        let kind = done.as_ref().err().and_then(Error::kind);
        ensure!(kind == Some(FaultKind::Refused), "{what}: {done:?}");
        ensure!(!store.exists(&key).await?, "{what}: the object is there");
    }
    store.complete_upload(&key, &id, &[first.clone(), second, third]).await?;
    let bytes = 2 * 5 * 1024 * 1024 + 1_000;
    expect_pattern(store.reader(&key, Range::ALL).await?, 0, bytes).await?;
    let late = send(store, &key, &id, 1, piece(1, PART)).await;
    ensure!(matches!(late, Err(Error::UploadGone { .. })), "a part after the end: {late:?}");
    left_out(store, &key).await?;
    wrong_whole(store, &format!("{key}-2")).await?;
    conditions(store, &key, &first).await
}

/// A part that the client does not list is not in the object, wherever it was.
async fn left_out(store: &Store, key: &str) -> Outcome {
    let id = store.create_upload(key).await?;
    let first = send(store, key, &id, 1, pattern(0, PART)).await?;
    send(store, key, &id, 2, Bytes::from(vec![7; PART])).await?;
    let third = send(store, key, &id, 3, pattern(5 * 1024 * 1024, PART + 9)).await?;
    send(store, key, &id, 4, Bytes::from(vec![7; PART])).await?;
    store.complete_upload(key, &id, &[first, third]).await?;
    let bytes = 2 * 5 * 1024 * 1024 + 9;
    expect_pattern(store.reader(key, Range::ALL).await?, 0, bytes).await
}

/// Sends a part with its checksum.
pub(super) async fn send(
    store: &Store,
    key: &str,
    id: &str,
    number: u32,
    body: Bytes,
) -> crate::Result<UploadedPart> {
    let sum = Crc64::of(&body);
    store.upload_part(key, id, number, body, sum).await
}

/// Ends an upload on the condition that there is no such object, and says how that failed.
pub(super) async fn complete_absent(
    store: &Store,
    key: &str,
    id: &str,
    parts: &[UploadedPart],
) -> Option<FaultKind> {
    let list = parts.iter().map(|part| {
        let number = i32::try_from(part.number).unwrap_or(0);
        CompletedPart::builder().part_number(number).e_tag(part.etag.as_str()).build()
    });
    let list = CompletedMultipartUpload::builder().set_parts(Some(list.collect())).build();
    let request = store.client().complete_multipart_upload().bucket(store.bucket()).key(key);
    let done = request.upload_id(id).multipart_upload(list).if_none_match("*").send().await;
    done.err().map(|error| Fault::of(error).kind)
}

fn part(number: u32, like: &UploadedPart) -> UploadedPart {
    UploadedPart { number, ..like.clone() }
}

/// What the client says about the whole is compared with what came.
async fn wrong_whole(store: &Store, key: &str) -> Outcome {
    let id = store.create_upload(key).await?;
    let first = send(store, key, &id, 1, pattern(0, PART)).await?;
    let last = send(store, key, &id, 2, pattern(0, 9)).await?;
    let other = UploadedPart { crc64: first.crc64, ..last.clone() };
    let done = store.complete_upload(key, &id, &[first.clone(), other]).await;
    let kind = done.as_ref().err().and_then(Error::kind);
    ensure!(kind == Some(FaultKind::Garbled), "a wrong checksum of the whole: {done:?}");
    let shorter = UploadedPart { bytes: first.bytes - 1, ..first.clone() };
    let done = store.complete_upload(key, &id, &[shorter, last.clone()]).await;
    ensure!(done.is_err(), "a wrong size of the whole: {done:?}");
    ensure!(!store.exists(key).await?, "what is not what was sent is there");
    store.complete_upload(key, &id, &[first, last]).await?;
    Ok(())
}

/// `If-None-Match` holds at the end of an upload as well.
async fn conditions(store: &Store, key: &str, body: &UploadedPart) -> Outcome {
    let id = store.create_upload(key).await?;
    let sent = send(store, key, &id, 1, pattern(0, 1_000)).await?;
    ensure!(sent.etag != body.etag, "two parts of different contents have one version");
    let kind = complete_absent(store, key, &id, &[sent]).await;
    ensure!(kind == Some(FaultKind::Precondition), "If-None-Match at the end: {kind:?}");
    store.abort_upload(key, &id).await?;
    store.abort_upload(key, &id).await?;
    Ok(())
}

/// A body that is not what its checksum says is refused; one that is sent in chunks with its
/// checksum behind it is taken.
pub(super) async fn checksums(store: &Store, prefix: &str) -> Outcome {
    let key = format!("{prefix}checksums/object");
    let put = || store.client().put_object().bucket(store.bucket()).key(&key);
    let body = || ByteStream::from_static(b"contents");
    let wrong = [
        put().body(body()).checksum_crc32("AAAAAA=="),
        put().body(body()).checksum_crc64_nvme("AAAAAAAAAAA="),
        put().body(body()).checksum_sha256("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        put().body(body()).content_md5("AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    for request in wrong {
        let kind = request.send().await.err().map(|error| Fault::of(error).kind);
        ensure!(kind == Some(FaultKind::Garbled), "a wrong checksum: {kind:?}");
        ensure!(!store.exists(&key).await?, "a body with a wrong checksum is there");
    }
    // A body from a file is streamed, so the SDK sends its checksum as a trailer.
    let bytes = 3 * 1024 * 1024 + 5;
    let path = std::env::temp_dir().join(key.replace('/', "-"));
    tokio::fs::write(&path, pattern(0, bytes)).await?;
    let stream = ByteStream::from_path(&path).await;
    let stream = stream.map_err(|error| Broken::new(error.to_string()))?;
    let sent = put().body(stream).send().await;
    tokio::fs::remove_file(&path).await?;
    let sent = sent.map_err(|error| store.write_error(&key, Fault::of(error)))?;
    ensure!(sent.checksum_crc32().is_some(), "the checksum is not told back");
    let bytes = u64::try_from(bytes).unwrap_or(0);
    expect_pattern(store.reader(&key, Range::ALL).await?, 0, bytes).await
}
