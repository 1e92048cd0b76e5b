//! Uploads that take many invocations: one claim, one temporary file, and what happens to it between
//! two of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::items::{Claim, Lease, LedgerRow, MemberItem, Receipt};
use domain::keys::Inbox;
use domain::{ErrorClass, Failure, SecretStore};
use dray::local::{BUCKET, Functions, LocalExecutions};
use dray::s3::{Options, S3Server};
use integration::World;
use secrets::FolderSecrets;
use serde_json::{Value, json};
use storage::runs::Run;
use storage::{Condition, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Halfway, RUN, noise};

const BYTES: usize = 8 << 20;

impl Halfway {
    async fn upload(&self) -> Result<Value, Failure> {
        self.call("upload", self.event.clone()).await
    }

    /// After that many invocations of Upload, which leave it in the middle.
    async fn uploading(content: &[u8], times: usize) -> Self {
        let halfway = Self::at_upload(content).await;
        for _ in 0..times {
            assert_eq!(halfway.upload().await.expect("a piece")["more"], true);
        }
        halfway
    }

    /// Goes on to the end, and tells in how many invocations.
    async fn upload_to_the_end(&self) -> usize {
        let mut times = 1;
        while self.upload().await.expect("a piece")["more"] == true {
            times += 1;
        }
        times
    }

    /// The one file at the target while it is sent.
    fn temporary(&self) -> PathBuf {
        let paths = self.world.target.paths();
        assert_eq!(paths.len(), 1, "{paths:?}");
        assert!(paths[0].to_string_lossy().ends_with(".part"), "{paths:?}");
        paths[0].clone()
    }

    fn assert_delivered(&self, content: &[u8]) {
        assert_eq!(self.world.target.names(), ["large.bin.pgp"]);
        assert!(self.world.opened()["large.bin"] == content, "other bytes arrived");
    }

    /// The member's row in the ledger, and where it is kept.
    async fn row(&self) -> (String, LedgerRow) {
        let store = self.local.store();
        let key = row_key(store).await;
        let row = store.get::<LedgerRow>(&key).await.expect("S3").expect("a row").value;
        (key, row)
    }

    async fn put_row(&self, key: &str, row: &LedgerRow) {
        drop(self.local.store().put(key, row, Condition::Any).await.expect("S3"));
    }

    async fn sent(&self) -> u64 {
        self.progress("upload", Inbox::Sealed).await.1["sent"].as_u64().expect("bytes")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_in_the_same_file() {
    let content = noise(BYTES);
    let halfway = Halfway::uploading(&content, 8).await;
    let temporary = halfway.temporary();
    let sent = halfway.sent().await;
    assert_eq!(std::fs::metadata(&temporary).expect("a file").len(), sent);
    assert!(sent > 0 && sent < BYTES as u64, "{sent}");
    assert_eq!(halfway.upload().await.expect("a piece")["more"], true);
    assert_eq!(halfway.temporary(), temporary, "another claim was made");
    assert!(halfway.sent().await > sent);
    // More than a server acknowledged may be there.
    let file = std::fs::File::options().append(true).open(&temporary).expect("the file");
    std::io::Write::write_all(&mut &file, &[0; 5000]).expect("bytes");
    halfway.upload_to_the_end().await;
    halfway.assert_delivered(&content);
}

/// Some servers take a file for whole the moment it is closed.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_without_a_temporary_name_is_sent_in_one_invocation() {
    let content = noise(BYTES);
    let mut world = World::embedded();
    world.partner.profile["target"]["rename"] = json!("direct");
    world.partner.profile["target"]["verify"] = json!("size");
    let halfway = Halfway::at_upload_in(world, &content).await;
    assert_eq!(halfway.upload_to_the_end().await, 1);
    halfway.assert_delivered(&content);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_file_is_gone_or_shorter_is_begun_anew() {
    let content = noise(BYTES);
    for gone in [true, false] {
        let halfway = Halfway::uploading(&content, 8).await;
        let temporary = halfway.temporary();
        if gone {
            std::fs::remove_file(&temporary).expect("it is removed");
        } else {
            let file = std::fs::File::options().write(true).open(&temporary).expect("the file");
            file.set_len(halfway.sent().await - 1).expect("it is cut");
        }
        assert_eq!(halfway.upload().await.expect("a piece")["more"], true);
        assert_ne!(halfway.temporary(), temporary, "the same claim");
        halfway.upload_to_the_end().await;
        halfway.assert_delivered(&content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_changed_between_two_invocations_is_never_renamed() {
    let content = noise(BYTES);
    let halfway = Halfway::uploading(&content, 8).await;
    let temporary = halfway.temporary();
    let mut bytes = std::fs::read(&temporary).expect("what was sent");
    bytes[1000] ^= 1;
    std::fs::write(&temporary, &bytes).expect("another content");
    let failure = loop {
        match halfway.upload().await {
            Ok(more) => assert_eq!(more["more"], true, "it was delivered"),
            Err(failure) => break failure,
        }
    };
    assert_eq!((failure.class, &*failure.code), (ErrorClass::Transient, "upload.mismatch"));
    // The next attempt begins anew.
    halfway.upload_to_the_end().await;
    halfway.assert_delivered(&content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_wakes_up_without_its_lease_sends_nothing() {
    let content = noise(BYTES);
    let halfway = Halfway::uploading(&content, 8).await;
    let temporary = halfway.temporary();
    let sent = std::fs::metadata(&temporary).expect("a file").len();
    let (key, store) = (domain::keys::lease("acme"), halfway.local.store());
    let ours = store.get::<Lease>(&key).await.expect("S3").expect("a lease").value;
    // Another run found it dead, and takes over.
    let theirs = Lease { run: "20260301T070000Z-00000000".to_owned(), ..ours.clone() };
    drop(store.put(&key, &theirs, Condition::Any).await.expect("S3"));
    let failure = halfway.upload().await.expect_err("it has lost its lease");
    assert_eq!((failure.class, &*failure.code), (ErrorClass::Transient, "upload.lease_lost"));
    assert_eq!(std::fs::metadata(halfway.temporary()).expect("a file").len(), sent);
    drop(store.put(&key, &ours, Condition::Any).await.expect("S3"));
    halfway.upload_to_the_end().await;
    halfway.assert_delivered(&content);
}

/// Gives the lease and the member to another run.
async fn take_over(store: &Store, renaming: bool) {
    let key = domain::keys::lease("acme");
    let ours = store.get::<Lease>(&key).await.expect("S3").expect("a lease").value;
    let run = "20260301T070000Z-00000000";
    let theirs = Lease { run: run.to_owned(), ..ours };
    drop(store.put(&key, &theirs, Condition::Any).await.expect("S3"));
    let key = row_key(store).await;
    let mut row = store.get::<LedgerRow>(&key).await.expect("S3").expect("a row").value;
    let theirs = Claim { run: run.to_owned(), nonce: "0".repeat(32), ..row.claim.clone() };
    let mut before = std::mem::replace(&mut row.claim, theirs);
    // While nobody knows whether it was renamed, its temporary file is what tells.
    before.renaming = renaming;
    row.earlier.push(before);
    drop(store.put(&key, &row, Condition::Any).await.expect("S3"));
}

/// Where the ledger has the one member.
async fn row_key(store: &Store) -> String {
    store.list("ledger/acme/members/").await.expect("S3")[0].key.clone()
}

/// It was frozen, another run took over and swept, and then it went on for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_wakes_up_after_another_run_took_over_leaves_nothing_behind() {
    let content = noise(BYTES);
    for renaming in [false, true] {
        let halfway = Halfway::uploading(&content, 8).await;
        take_over(halfway.local.store(), renaming).await;
        let failure = halfway.upload().await.expect_err("it has lost its lease");
        assert_eq!(&*failure.code, "upload.lease_lost");
        assert_eq!(halfway.world.target.names().len(), usize::from(renaming), "{renaming}");
    }
}

/// When another run takes over, sweeps and claims the member.
#[derive(Clone)]
struct Moment {
    /// Before the request that begins with this is done,
    request: String,
    /// for this time.
    nth: usize,
    /// What that run has delivered then.
    delivered: Option<PathBuf>,
}

/// Lets the functions reach the bucket on a way on which another run takes over at that moment.
async fn overtake(halfway: &mut Halfway, moment: Moment) {
    let folder = halfway.world.state.join("s3");
    let options = Options { folder, buckets: vec![BUCKET.to_owned()] };
    let server = S3Server::start(options).await.expect("one more server over the bucket");
    let door = TcpListener::bind(("127.0.0.1", 0)).await.expect("a door");
    let url = format!("http://{}", door.local_addr().expect("an address"));
    let through = Store::local(url, server.access_key(), server.secret_key(), BUCKET);
    let store = halfway.local.store().clone();
    tokio::spawn(async move {
        let behind = server.endpoint().trim_start_matches("http://").to_owned();
        let seen = Arc::new(AtomicUsize::new(0));
        while let Ok((client, _)) = door.accept().await {
            let server = TcpStream::connect(&behind).await.expect("the server");
            let way = (store.clone(), moment.clone(), Arc::clone(&seen));
            // A connection ends when its client has had enough.
            tokio::spawn(hand_on(client, server, way));
        }
    });
    let secrets: Arc<dyn SecretStore> = Arc::new(FolderSecrets::new(&halfway.world.secrets));
    let executions = LocalExecutions::new(halfway.world.state.join("late")).expect("executions");
    let executions = Arc::new(executions);
    halfway.functions =
        Functions::with_stores(&|_| through.clone(), &secrets, &executions, u64::MAX);
}

async fn hand_on(
    client: TcpStream,
    server: TcpStream,
    (store, moment, seen): (Store, Moment, Arc<AtomicUsize>),
) {
    let (mut questions, mut to_client) = client.into_split();
    let (mut answers, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut answers, &mut to_client).await });
    let mut piece = vec![0; 64 << 10];
    while let Ok(read @ 1..) = questions.read(&mut piece).await {
        let meant = piece.starts_with(moment.request.as_bytes());
        if meant && seen.fetch_add(1, Ordering::SeqCst) + 1 == moment.nth {
            take_over(&store, false).await;
            if let Some(path) = &moment.delivered {
                std::fs::write(path, b"theirs").expect("what the other run delivered");
            }
        }
        if to_server.write_all(&piece[..read]).await.is_err() {
            break;
        }
    }
}

/// Whether it notices at its second look at the lease, or because the name is taken at last.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_lease_is_lost_while_it_is_sent_gets_no_name_and_is_removed() {
    let lease = domain::keys::lease("acme");
    let content = format!("data/acme/{}", RUN);
    for (key, nth, delivers) in [(lease, 2, false), (content, 1, true)] {
        let mut halfway = Halfway::at_upload(&noise(1000)).await;
        let theirs = halfway.world.target.folder.join("large.bin.pgp");
        let request = format!("GET /{BUCKET}/{key}");
        let delivered = delivers.then(|| theirs.clone());
        overtake(&mut halfway, Moment { request, nth, delivered }).await;
        let failure = halfway.upload().await.expect_err("it has lost its lease");
        assert_eq!((failure.class, &*failure.code), (ErrorClass::Transient, "upload.lease_lost"));
        let left: &[&str] = if delivers { &["large.bin.pgp"] } else { &[] };
        assert_eq!(halfway.world.target.names(), left);
        if delivers {
            assert_eq!(std::fs::read(&theirs).expect("still there"), b"theirs");
        }
    }
}

/// The name was free when the upload began and is taken when it ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_meanwhile_is_left_as_it_is_and_the_next_one_is_found() {
    let content = noise(BYTES);
    let mut world = World::embedded();
    world.partner.profile["target"]["on_existing"] = json!("rename");
    let halfway = Halfway::at_upload_in(world, &content).await;
    for _ in 0..8 {
        assert_eq!(halfway.upload().await.expect("a piece")["more"], true);
    }
    let taken = halfway.world.target.folder.join("large.bin.pgp");
    std::fs::write(&taken, b"theirs").expect("somebody else's file");
    let failure = loop {
        match halfway.upload().await {
            Ok(more) => assert_eq!(more["more"], true, "it was delivered"),
            Err(failure) => break failure,
        }
    };
    assert_eq!((failure.class, &*failure.code), (ErrorClass::Transient, "upload.target_exists"));
    halfway.upload_to_the_end().await;
    assert_eq!(halfway.world.target.names(), ["large-2.bin.pgp", "large.bin.pgp"]);
    assert_eq!(std::fs::read(&taken).expect("still there"), b"theirs");
    std::fs::remove_file(&taken).expect("moved away");
    assert!(halfway.world.opened()["large-2.bin"] == content, "other bytes arrived");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_meanwhile_ends_the_member_where_nobody_asked_for_numbers() {
    let content = noise(BYTES);
    let halfway = Halfway::uploading(&content, 8).await;
    let taken = halfway.world.target.folder.join("large.bin.pgp");
    std::fs::write(&taken, b"theirs").expect("somebody else's file");
    halfway.upload_to_the_end().await;
    let failure = halfway.failure().await.expect("it was given up");
    assert_eq!((failure.class, &*failure.code), (ErrorClass::Rejected, "upload.target_exists"));
    assert_eq!(std::fs::read(&taken).expect("still there"), b"theirs");
}

/// What becomes of a claim, and how.
type Change = (&'static str, fn(&mut Claim));

/// What goes on belongs to one claim on one ciphertext: whatever the ledger says besides, the file
/// that lies there may hold other bytes.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_under_no_claim_but_its_own() {
    let content = noise(BYTES);
    let changes: [Change; 4] = [
        ("another run's", |claim| claim.run = "20260301T070000Z-00000000".to_owned()),
        ("another invocation's", |claim| claim.nonce = "0".repeat(32)),
        ("of another ciphertext", |claim| claim.receipt.sealed_sha256 = "0".repeat(64)),
        ("that had come to its rename", |claim| claim.renaming = true),
    ];
    for (what, change) in changes {
        let halfway = Halfway::uploading(&content, 8).await;
        let (key, mut row) = halfway.row().await;
        change(&mut row.claim);
        halfway.put_row(&key, &row).await;
        let Claim { run, nonce, .. } = &row.claim;
        let theirs = halfway.temporary().with_file_name(format!(
            "large.bin.pgp.{run}.{}.part",
            nonce.get(..8).expect("a nonce")
        ));
        std::fs::rename(halfway.temporary(), &theirs).expect("the claim's file");
        assert_eq!(halfway.upload().await.expect("a piece")["more"], true, "{what}");
        assert_ne!(halfway.temporary(), theirs, "it went on under a claim {what}");
        halfway.upload_to_the_end().await;
        halfway.assert_delivered(&content);
    }
}

/// Another run had taken over and brought it to its end.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_member_has_its_receipt_does_not_go_on() {
    let halfway = Halfway::uploading(&noise(BYTES), 8).await;
    let sent = halfway.sent().await;
    let (key, mut row) = halfway.row().await;
    let run = "20260301T070000Z-00000000".to_owned();
    row.delivered = Some(Receipt { run, ..row.claim.receipt.clone() });
    halfway.put_row(&key, &row).await;
    assert_eq!(halfway.upload_to_the_end().await, 1);
    let there = std::fs::metadata(halfway.temporary()).expect("as it was").len();
    assert_eq!(there, sent, "more was sent");
}

/// The bucket gave other bytes once. What was sent of them is not kept for the next attempt.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_bytes_that_were_not_proven_is_begun_anew() {
    let content = noise(BYTES);
    let mut world = World::embedded();
    world.partner.profile["target"]["verify"] = json!("size");
    let halfway = Halfway::at_upload_in(world, &content).await;
    let run = Run::new(halfway.local.store(), "acme", RUN);
    let names = run.names(Inbox::Sealed).await.expect("a listing");
    let item: MemberItem = run.expect(Inbox::Sealed, &names[0]).await.expect("an item");
    let object = halfway.world.state.join("s3/drayage").join(item.sealed.expect("sealed").key);
    let proven = std::fs::read(&object).expect("the ciphertext");
    let mut other = proven.clone();
    other[1000] ^= 1;
    std::fs::write(&object, &other).expect("other bytes");
    assert_eq!(halfway.upload().await.expect("a piece")["more"], true);
    std::fs::write(&object, &proven).expect("what was proven");
    let failure = loop {
        match halfway.upload().await {
            Ok(more) => assert_eq!(more["more"], true, "it was delivered"),
            Err(failure) => break failure,
        }
    };
    assert_eq!(&*failure.code, "upload.ciphertext_changed");
    halfway.upload_to_the_end().await;
    halfway.assert_delivered(&content);
}
