//! Takes the body of a request into a file and checks what the client said about its contents.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::{Checksum, StreamingBlob};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, TrailingHeaders, s3_error};

use super::checksum::Crc64;
use super::folder::{Temporary, blocking, broken};
use super::slots::Claim;

/// This much of a body is gathered before a thread writes it.
const BATCH_BYTES: usize = 1024 * 1024;

/// What the client says about the body: checksums in headers, or one that follows as a trailer.
#[derive(Debug, Default)]
pub(super) struct Claims {
    pub(super) checksum: Checksum,
    pub(super) content_md5: Option<String>,
    announced: Option<String>,
    trailers: Option<TrailingHeaders>,
}

/// Where a body goes.
#[derive(Debug)]
pub(super) enum Goal {
    /// Into a file of its own.
    File(Temporary),
    /// Into the object that it is a part of.
    Placed(Claim),
}

/// A body, stored.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) goal: Goal,
    pub(super) bytes: u64,
    pub(super) crc64: Crc64,
    /// The checksums that were asked for and proved right, and the one that is always made.
    pub(super) checksum: Checksum,
}

struct Sink {
    goal: Goal,
    bytes: u64,
    hasher: ChecksumHasher,
    md5: Option<Md5>,
}

impl Claims {
    /// Collects what the request announces; its own checksum headers are passed in.
    pub(super) fn new<T>(
        request: &S3Request<T>,
        checksum: Checksum,
        content_md5: Option<String>,
    ) -> Self {
        let announced = request.headers.get("x-amz-trailer").and_then(|name| name.to_str().ok());
        Self {
            checksum,
            content_md5,
            announced: announced.map(str::to_ascii_lowercase),
            trailers: request.trailing_headers.clone(),
        }
    }

    fn wants(&self, header: Option<&String>, trailer: &str) -> bool {
        header.is_some() || self.announced.as_deref() == Some(trailer)
    }

    fn hasher(&self) -> ChecksumHasher {
        let given = &self.checksum;
        let wants = |header: &Option<String>, trailer| self.wants(header.as_ref(), trailer);
        ChecksumHasher {
            crc32: wants(&given.checksum_crc32, "x-amz-checksum-crc32").then(Crc32::new),
            crc32c: wants(&given.checksum_crc32c, "x-amz-checksum-crc32c").then(Crc32c::new),
            sha1: wants(&given.checksum_sha1, "x-amz-checksum-sha1").then(Sha1::new),
            sha256: wants(&given.checksum_sha256, "x-amz-checksum-sha256").then(Sha256::new),
            crc64nvme: Some(Crc64Nvme::new()),
        }
    }

    /// Compares with what came. Trailers are known only now, after the body.
    fn check(&self, found: &Checksum, md5: Option<String>) -> S3Result<()> {
        let trailer = self.announced.as_deref().and_then(|name| {
            let trailers = self.trailers.as_ref()?;
            trailers.read(|headers| Some(headers.get(name)?.to_str().ok()?.to_owned()))?
        });
        let given = &self.checksum;
        let pairs = [
            ("crc32", &given.checksum_crc32, &found.checksum_crc32),
            ("crc32c", &given.checksum_crc32c, &found.checksum_crc32c),
            ("sha1", &given.checksum_sha1, &found.checksum_sha1),
            ("sha256", &given.checksum_sha256, &found.checksum_sha256),
            ("crc64nvme", &given.checksum_crc64nvme, &found.checksum_crc64nvme),
            ("MD5", &self.content_md5, &md5),
        ];
        for (name, given, found) in pairs {
            let by_trailer = self.announced.as_deref() == Some(&format!("x-amz-checksum-{name}"));
            let given =
                if by_trailer { given.as_ref().or(trailer.as_ref()) } else { given.as_ref() };
            let missing = by_trailer && given.is_none();
            if missing || given.is_some_and(|given| Some(given) != found.as_ref()) {
                return Err(s3_error!(
                    BadDigest,
                    "the body does not have the {name} that was sent"
                ));
            }
        }
        Ok(())
    }
}

/// Reads a refused request's body to its end, so that the client, which may still be sending,
/// hears why it was refused instead of a broken connection.
pub(super) async fn refuse<T>(body: Option<StreamingBlob>, error: S3Error) -> S3Result<T> {
    if let Some(mut body) = body {
        while let Some(Ok(_)) = body.next().await {}
    }
    Err(error)
}

/// Stores a body, in bounded memory. `open` finds the place for it, on a thread that may block.
pub(super) async fn receive(
    open: impl FnOnce() -> S3Result<Goal> + Send + 'static,
    body: Option<StreamingBlob>,
    claims: Claims,
) -> S3Result<Received> {
    let hasher = claims.hasher();
    let md5 = claims.content_md5.is_some().then(Md5::new);
    let mut sink = match blocking(open).await {
        Ok(goal) => Sink { goal, bytes: 0, hasher, md5 },
        Err(error) => return refuse(body, error).await,
    };
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    if let Some(mut body) = body {
        while let Some(chunk) = body.next().await {
            let chunk =
                chunk.map_err(|error| S3Error::with_source(S3ErrorCode::IncompleteBody, error))?;
            batch_bytes += chunk.len();
            batch.push(chunk);
            if batch_bytes >= BATCH_BYTES {
                let full = std::mem::take(&mut batch);
                sink = blocking(move || sink.take(&full)).await?;
                batch_bytes = 0;
            }
        }
    }
    blocking(move || {
        let sink = sink.take(&batch)?;
        let checksum = sink.hasher.finalize();
        claims.check(&checksum, sink.md5.map(|md5| STANDARD.encode(md5.finalize())))?;
        if matches!(&sink.goal, Goal::Placed(claim) if !claim.is_full()) {
            return Err(s3_error!(IncompleteBody, "fewer bytes came than were announced"));
        }
        let crc64 = checksum.checksum_crc64nvme.as_deref().and_then(Crc64::parse);
        let crc64 = crc64.ok_or_else(|| s3_error!(InternalError, "there is no checksum"))?;
        Ok(Received { goal: sink.goal, bytes: sink.bytes, crc64, checksum })
    })
    .await
}

impl Sink {
    fn take(mut self, batch: &[Bytes]) -> S3Result<Self> {
        for chunk in batch {
            self.hasher.update(chunk);
            self.bytes += u64::try_from(chunk.len()).unwrap_or_default();
            if let Some(md5) = &mut self.md5 {
                md5.update(chunk);
            }
        }
        match &mut self.goal {
            Goal::File(file) => {
                for chunk in batch {
                    file.file.write_all(chunk).map_err(broken)?;
                }
            }
            Goal::Placed(claim) => claim.write(batch)?,
        }
        Ok(self)
    }
}
