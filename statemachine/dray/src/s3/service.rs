//! The operations of S3 that the pipeline and its people use, on top of the folder.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::body::{Claims, Goal, receive, refuse};
use super::checksum::Crc64;
use super::conditions::{Conditions, etag_of};
use super::folder::{Folder, Temporary, blocking, broken};
use super::place::Place;
use super::{complete, listing, multipart, reads, uploads};

/// An upload that takes longer than this to put together is answered at once, and its end follows
/// in the body while spaces keep the connection alive. An answer within it has a proper status.
const COMPLETE_PATIENCE: Duration = Duration::from_secs(20);

/// How many objects of one request are deleted at the same time.
const REMOVALS_AT_ONCE: usize = 8;

fn answer<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

macro_rules! checksum_of {
    ($input:expr) => {
        Checksum {
            checksum_crc32: $input.checksum_crc32.clone(),
            checksum_crc32c: $input.checksum_crc32c.clone(),
            checksum_crc64nvme: $input.checksum_crc64nvme.clone(),
            checksum_sha1: $input.checksum_sha1.clone(),
            checksum_sha256: $input.checksum_sha256.clone(),
            ..Default::default()
        }
    };
}

macro_rules! with_checksum {
    ($output:ident { $($field:ident: $value:expr),* $(,)? }, $checksum:expr) => {{
        let checksum = $checksum;
        $output {
            $($field: $value,)*
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..Default::default()
        }
    }};
}

#[async_trait]
impl S3 for Folder {
    async fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.bucket(&req.input.bucket)?;
        answer(HeadBucketOutput::default())
    }

    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let bucket = req.input.bucket;
        match std::fs::create_dir(self.root().join(&bucket)) {
            Ok(()) => answer(CreateBucketOutput { location: Some(format!("/{bucket}")) }),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(s3_error!(BucketAlreadyOwnedByYou))
            }
            Err(error) => Err(broken(error)),
        }
    }

    async fn list_buckets(
        &self,
        _req: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let mut buckets = Vec::new();
        for entry in std::fs::read_dir(self.root()).map_err(broken)?.flatten() {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if self.bucket(&name).is_ok() {
                let made = entry.metadata().and_then(|metadata| metadata.modified()).ok();
                buckets.push(Bucket {
                    name: Some(name),
                    creation_date: made.map(Timestamp::from),
                    ..Default::default()
                });
            }
        }
        buckets.sort_by(|one, two| one.name.cmp(&two.name));
        answer(ListBucketsOutput { buckets: Some(buckets), ..Default::default() })
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.bucket(&req.input.bucket)?;
        answer(GetBucketLocationOutput::default())
    }

    async fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        answer(reads::get(self, req.input).await?)
    }

    async fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        answer(reads::head(self, req.input).await?)
    }

    async fn put_object(
        &self,
        mut req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let body = req.input.body.take();
        let place = Place::new(&req.input.bucket, &req.input.key)
            .and_then(|place| self.bucket(&place.bucket).map(|_| place));
        let place = match place {
            Ok(place) => place,
            Err(error) => return refuse(body, error).await,
        };
        let md5 = req.input.content_md5.take();
        let claims = Claims::new(&req, checksum_of!(req.input), md5);
        let uploads = self.uploads();
        let open = move || Temporary::create(&uploads).map(Goal::File).map_err(broken);
        let received = receive(open, body, claims).await?;
        let conditions =
            Conditions { if_match: req.input.if_match, if_none_match: req.input.if_none_match };
        let (goal, sum) = (received.goal, received.crc64);
        let etag = self.exclusive(place, move |folder, place| match &goal {
            Goal::File(file) => folder.commit(file, place, &conditions, Some(sum)),
            Goal::Placed(_) => Err(s3_error!(InternalError, "an object is no part")),
        });
        let etag = etag.await?;
        answer(with_checksum!(
            PutObjectOutput { e_tag: Some(etag), checksum_type: Some(reads::full_object()) },
            received.checksum
        ))
    }

    async fn copy_object(
        &self,
        req: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let CopySource::Bucket { bucket, key, .. } = &req.input.copy_source else {
            return Err(s3_error!(NotImplemented, "only objects of this server can be copied"));
        };
        let (from, to) = (Place::new(bucket, key)?, Place::new(&req.input.bucket, &req.input.key)?);
        let conditions = Conditions {
            if_match: req.input.copy_source_if_match,
            if_none_match: req.input.copy_source_if_none_match,
        };
        let folder = self.clone();
        let copy = blocking(move || {
            let (mut source, metadata) = folder.open_object(&from)?;
            conditions.allow_read(&etag_of(&metadata))?;
            let sum = Crc64::kept(&source, &metadata);
            let mut copy = Temporary::create(&folder.uploads()).map_err(broken)?;
            std::io::copy(&mut source, &mut copy.file).map_err(broken)?;
            Ok((copy, sum))
        });
        let (copy, sum) = copy.await?;
        let etag = self.exclusive(to, move |folder, place| {
            folder.commit(&copy, place, &Conditions::default(), sum)
        });
        let result = CopyObjectResult {
            e_tag: Some(etag.await?),
            last_modified: Some(Timestamp::from(std::time::SystemTime::now())),
            ..Default::default()
        };
        answer(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() })
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let place = Place::new(&req.input.bucket, &req.input.key)?;
        let conditions = Conditions { if_match: req.input.if_match, if_none_match: None };
        self.exclusive(place, move |folder, place| folder.remove(place, &conditions)).await?;
        answer(DeleteObjectOutput::default())
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.bucket(&req.input.bucket)?;
        let quiet = req.input.delete.quiet.unwrap_or(false);
        let bucket = req.input.bucket.as_str();
        let removals = req.input.delete.objects.into_iter().map(|object| async {
            let done = match Place::new(bucket, &object.key) {
                Ok(place) => {
                    let work =
                        |folder: &Self, place: &Place| folder.remove(place, &Conditions::default());
                    self.exclusive(place, work).await
                }
                Err(error) => Err(error),
            };
            (object.key, done)
        });
        let removals: Vec<_> = stream::iter(removals).buffered(REMOVALS_AT_ONCE).collect().await;
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for (key, done) in removals {
            match done {
                Ok(()) => deleted.push(DeletedObject { key: Some(key), ..Default::default() }),
                Err(error) => errors.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(key),
                    message: error.message().map(str::to_owned),
                    ..Default::default()
                }),
            }
        }
        answer(DeleteObjectsOutput {
            deleted: (!quiet).then_some(deleted),
            errors: Some(errors),
            ..Default::default()
        })
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        answer(listing::objects(self, req.input).await?)
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let place = Place::new(&req.input.bucket, &req.input.key)?;
        let folder = self.clone();
        let id = blocking(move || multipart::create(&folder, &place)).await?;
        answer(CreateMultipartUploadOutput {
            bucket: Some(req.input.bucket),
            key: Some(req.input.key),
            upload_id: Some(id),
            checksum_algorithm: req.input.checksum_algorithm,
            checksum_type: req.input.checksum_type,
            ..Default::default()
        })
    }

    async fn upload_part(
        &self,
        mut req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let body = req.input.body.take();
        let upload = Place::new(&req.input.bucket, &req.input.key)
            .and_then(|place| multipart::folder_of(self, &place, &req.input.upload_id));
        let upload = match upload {
            Ok(upload) => upload,
            Err(error) => return refuse(body, error).await,
        };
        let md5 = req.input.content_md5.take();
        let claims = Claims::new(&req, checksum_of!(req.input), md5);
        let (number, bytes) = (req.input.part_number, announced_bytes(&req));
        let (slots, path) = (Arc::clone(&self.slots), upload.clone());
        let open = move || {
            let claim = bytes.map(|bytes| slots.claim(path.clone(), number, bytes)).transpose()?;
            match claim.flatten() {
                Some(claim) => Ok(Goal::Placed(claim)),
                None => Temporary::create(&path).map(Goal::File).map_err(broken),
            }
        };
        let received = receive(open, body, claims).await?;
        let (goal, sum) = (received.goal, (received.bytes, received.crc64));
        let etag = blocking(move || match goal {
            Goal::File(file) => multipart::keep_apart(&upload, number, &file, sum),
            Goal::Placed(claim) => {
                let etag = multipart::keep_placed(&upload, number, claim.at, sum)?;
                claim.finish();
                Ok(etag)
            }
        });
        let etag = etag.await?;
        answer(with_checksum!(UploadPartOutput { e_tag: Some(etag) }, received.checksum))
    }

    async fn list_parts(
        &self,
        req: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        answer(uploads::parts(self, req.input).await?)
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        answer(uploads::unfinished(self, req.input).await?)
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let place = Place::new(&req.input.bucket, &req.input.key)?;
        let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
        let work = complete::complete(self.clone(), place, req.input);
        // Its own task: it goes on to the end when the client hangs up.
        let mut work = tokio::spawn(async move {
            let (etag, sum) = work.await?;
            Ok(CompleteMultipartUploadOutput {
                e_tag: Some(etag),
                checksum_crc64nvme: Some(sum.to_string()),
                checksum_type: Some(reads::full_object()),
                location: Some(format!("/{bucket}/{key}")),
                bucket: Some(bucket),
                key: Some(key),
                ..Default::default()
            })
        });
        match tokio::time::timeout(COMPLETE_PATIENCE, &mut work).await {
            Ok(done) => answer(done.map_err(|ended| s3_error!(ended, InternalError))??),
            Err(_patience) => answer(CompleteMultipartUploadOutput {
                future: Some(Box::pin(async move {
                    work.await.map_err(|ended| s3_error!(ended, InternalError))?
                })),
                ..Default::default()
            }),
        }
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let place = Place::new(&req.input.bucket, &req.input.key)?;
        let id = req.input.upload_id;
        // The lock keeps an abort from tearing apart what a complete is just putting in place.
        self.exclusive(place, move |folder, place| multipart::abort(folder, place, &id)).await?;
        answer(AbortMultipartUploadOutput::default())
    }
}

/// How many bytes the body of a part will have.
fn announced_bytes(request: &S3Request<UploadPartInput>) -> Option<u64> {
    let number = |name: &str| request.headers.get(name)?.to_str().ok()?.parse().ok();
    number("x-amz-decoded-content-length").or_else(|| number("content-length"))
}
