//! The conditions of filters: `@.price < 10 && @.category == 'fiction'`.

use serde_json::Value;

use super::order;

/// What a filter asks of an item.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    Or(Vec<Condition>),
    And(Vec<Condition>),
    Not(Box<Condition>),
    /// True if there is such a place, whatever it holds.
    Exists(Place),
    Compare {
        left: Operand,
        relation: Relation,
        right: Operand,
    },
}

/// The item itself or a place in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place(pub(super) Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Key(String),
    Index(usize),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Place(Place),
    Literal(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equals,
    Differs,
    Less,
    LessOrEquals,
    Greater,
    GreaterOrEquals,
}

impl Condition {
    /// True for an item that passes the filter.
    pub(super) fn holds(&self, item: &Value) -> bool {
        match self {
            Self::Or(conditions) => conditions.iter().any(|condition| condition.holds(item)),
            Self::And(conditions) => conditions.iter().all(|condition| condition.holds(item)),
            Self::Not(condition) => !condition.holds(item),
            Self::Exists(place) => place.find(item).is_some(),
            Self::Compare { left, relation, right } => match (left.find(item), right.find(item)) {
                (Some(left), Some(right)) => relation.holds(left, right),
                // What is not there equals nothing.
                _ => *relation == Relation::Differs,
            },
        }
    }
}

impl Place {
    fn find<'v>(&self, item: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(item, |value, part| match part {
            Part::Key(key) => value.as_object()?.get(key),
            Part::Index(index) => value.as_array()?.get(*index),
        })
    }
}

impl Operand {
    fn find<'v>(&'v self, item: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Place(place) => place.find(item),
            Self::Literal(value) => Some(value),
        }
    }
}

impl Relation {
    fn holds(self, left: &Value, right: &Value) -> bool {
        let same = || match order(left, right) {
            Some(order) => order.is_eq(),
            None => left == right,
        };
        let ordered = |test: fn(std::cmp::Ordering) -> bool| order(left, right).is_some_and(test);
        match self {
            Self::Equals => same(),
            Self::Differs => !same(),
            Self::Less => ordered(std::cmp::Ordering::is_lt),
            Self::LessOrEquals => ordered(std::cmp::Ordering::is_le),
            Self::Greater => ordered(std::cmp::Ordering::is_gt),
            Self::GreaterOrEquals => ordered(std::cmp::Ordering::is_ge),
        }
    }
}
