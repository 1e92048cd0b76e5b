//! From a profile's words to a model, the same for every stage that counts.

use domain::profile::{DeclaredPlace, RecordModel, Records};

use crate::declared::{Declared, Place};
use crate::error::Error;
use crate::model::{Csv, Model, Terminator};

impl Model {
    /// The model that a profile asks for.
    ///
    /// # Errors
    /// [`Error::Options`] when its options cannot be meant.
    pub fn of(rules: &Records) -> Result<Self, Error> {
        let one = |text: &str| text.bytes().next();
        let model = match rules.model {
            RecordModel::Lines => Self::Lines { terminator: Terminator::Auto },
            RecordModel::Csv => Self::Csv(Csv {
                delimiter: one(&rules.delimiter).unwrap_or(b','),
                quote: one(&rules.quote),
                escape: rules.escape.as_deref().and_then(one),
                terminator: Terminator::Auto,
            }),
            RecordModel::Jsonl => Self::Jsonl,
            RecordModel::Fixed => {
                Self::Fixed { record_bytes: rules.record_bytes.unwrap_or_default() }
            }
            RecordModel::Parquet => Self::Parquet,
            RecordModel::Avro => Self::Avro,
            RecordModel::None => Self::None,
        };
        model.check()?;
        Ok(model)
    }
}

impl Declared {
    /// The declared count that a profile asks to be checked, if any.
    ///
    /// # Errors
    /// [`Error::Options`] for a pattern that cannot be used.
    pub fn of(rules: &Records) -> Result<Option<Self>, Error> {
        let Some(declared) = &rules.declared else { return Ok(None) };
        let place = match declared.place {
            DeclaredPlace::Header => Place::Header,
            DeclaredPlace::Trailer => Place::Trailer,
        };
        Self::new(place, &declared.pattern).map(Some)
    }
}
