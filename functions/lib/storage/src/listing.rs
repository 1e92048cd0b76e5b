//! Lists and deletes whole prefixes, page by page, so that 100,000 keys cost no more memory than
//! the caller keeps.

use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use crate::fault::Fault;
use crate::{Result, Store};

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The whole key, prefix included.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A listing under way: up to 1,000 keys per page, in byte order.
#[derive(Debug)]
pub struct Pages {
    store: Store,
    prefix: String,
    start_after: Option<String>,
    token: Option<String>,
    finished: bool,
}

impl Pages {
    /// The next page, `None` after the last one. A page can be empty.
    ///
    /// # Errors
    /// [`Error::List`](crate::Error::List). Asking again repeats the same page.
    pub async fn next(&mut self) -> Result<Option<Vec<Listed>>> {
        if self.finished {
            return Ok(None);
        }
        let answer = self
            .store
            .client()
            .list_objects_v2()
            .bucket(self.store.bucket())
            .prefix(&self.prefix)
            .set_start_after(self.start_after.clone())
            .set_continuation_token(self.token.clone())
            .send()
            .await
            .map_err(|error| self.store.list_error(&self.prefix, Fault::of(error)))?;
        let page = answer.contents().iter().filter_map(|object| {
            let size = u64::try_from(object.size().unwrap_or_default()).unwrap_or_default();
            Some(Listed { key: object.key()?.to_owned(), size })
        });
        let page = page.collect();
        self.token = answer.next_continuation_token;
        self.finished = self.token.is_none();
        Ok(Some(page))
    }
}

impl Store {
    /// Lists a prefix page by page.
    pub fn pages(&self, prefix: &str) -> Pages {
        Pages {
            store: self.clone(),
            prefix: prefix.to_owned(),
            start_after: None,
            token: None,
            finished: false,
        }
    }

    /// Lists the keys of a prefix that come after `key` in byte order, page by page.
    pub fn pages_after(&self, prefix: &str, key: &str) -> Pages {
        Pages { start_after: Some(key.to_owned()), ..self.pages(prefix) }
    }

    /// Lists a whole prefix, in byte order.
    ///
    /// # Errors
    /// [`Error::List`](crate::Error::List).
    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>> {
        let mut pages = self.pages(prefix);
        let mut all = Vec::new();
        while let Some(page) = pages.next().await? {
            all.extend(page);
        }
        Ok(all)
    }

    /// Deletes everything under a prefix and says how many objects that were.
    ///
    /// # Errors
    /// [`Error::List`](crate::Error::List), [`Error::Delete`](crate::Error::Delete); what was
    /// deleted before stays deleted.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<u64> {
        let mut pages = self.pages(prefix);
        let mut count = 0;
        while let Some(page) = pages.next().await? {
            // A page is never longer than what one DeleteObjects request may hold: 1,000 keys.
            count += u64::try_from(page.len()).unwrap_or(u64::MAX);
            self.delete_page(prefix, page).await?;
        }
        Ok(count)
    }

    async fn delete_page(&self, prefix: &str, page: Vec<Listed>) -> Result<()> {
        let keys = page.into_iter().filter_map(|listed| {
            // `build` fails only without a key.
            ObjectIdentifier::builder().key(listed.key).build().ok()
        });
        let keys: Vec<_> = keys.collect();
        if keys.is_empty() {
            return Ok(());
        }
        let delete = Delete::builder().set_objects(Some(keys)).quiet(true).build().ok();
        let request = self.client().delete_objects().bucket(self.bucket());
        let answer = request.set_delete(delete).send().await;
        let answer = answer.map_err(|error| self.delete_error(prefix, Fault::of(error)))?;
        match answer.errors().first() {
            None => Ok(()),
            Some(error) => {
                let code = error.code().unwrap_or("an error without a code");
                let detail = format!("S3 answered {code}: {}", error.message().unwrap_or_default());
                let key = error.key().unwrap_or(prefix);
                Err(self.delete_error(key, Fault::reported(code, detail)))
            }
        }
    }
}
