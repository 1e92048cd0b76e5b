//! The words that every stage shares, held against what the documentation and S3 keys say.

#[cfg(test)]
mod keys;
#[cfg(test)]
mod profiles;
#[cfg(test)]
mod words;
