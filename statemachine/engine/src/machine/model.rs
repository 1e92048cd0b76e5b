//! A loaded machine in memory: every path parsed, every default filled in.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::choice::Rule;
use crate::intrinsic::Expression;
use crate::path::Path;
use crate::template::Template;

/// States that can go to each other: the machine itself, the inside of a Map, or a branch.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) start_at: String,
    pub(crate) states: BTreeMap<String, State>,
    /// False if some state could not be read and a Succeed state holds its place.
    pub(crate) complete: bool,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) pointer: String,
    /// `None` is an InputPath of null: the state works on `{}`.
    pub(crate) input: Option<Expression>,
    pub(crate) output: Option<Expression>,
    pub(crate) next: Target,
    pub(crate) retry: Vec<RetryRow>,
    pub(crate) catch: Vec<CatchRow>,
    pub(crate) body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Next(String),
    End,
}

#[derive(Debug)]
pub(crate) enum Body {
    Task(Task),
    Map(Box<Map>),
    Parallel(Parallel),
    Choice(Choice),
    Pass(Pass),
    Wait(Wait),
    Succeed,
    Fail(Fail),
}

/// What becomes of a result: cut by ResultSelector, put at ResultPath (`None` discards it).
#[derive(Debug)]
pub(crate) struct ResultRule {
    pub(crate) selector: Option<Template>,
    pub(crate) path: Option<Path>,
}

#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) resource: Resource,
    /// `Resource` as it was written.
    pub(crate) arn: String,
    pub(crate) parameters: Template,
    pub(crate) timeout: Limit,
    pub(crate) result: ResultRule,
}

/// The service calls that a Task can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    LambdaInvoke,
    StartJobRunSync,
    PutEvents,
    /// A function whose ARN is the resource: its input is the payload, its answer the result.
    Function,
}

/// The calls that have a name of their own.
const CALLS: [(&str, Resource); 3] = [
    ("arn:aws:states:::lambda:invoke", Resource::LambdaInvoke),
    ("arn:aws:states:::emr-serverless:startJobRun.sync", Resource::StartJobRunSync),
    ("arn:aws:states:::events:putEvents", Resource::PutEvents),
];

impl Resource {
    /// The resource of that ARN, or in words what would be one.
    pub(crate) fn parse(arn: &str) -> Result<Self, String> {
        if function_name(arn).is_some() {
            return Ok(Self::Function);
        }
        let call = CALLS.into_iter().find(|(known, _)| *known == arn);
        call.map(|(_, resource)| resource).ok_or_else(|| {
            let known = CALLS.map(|(known, _)| known).join(", ");
            format!(
                "this engine supports no resource `{arn}`; it knows {known} and the ARNs of \
                 functions"
            )
        })
    }

    /// `resourceType` and `resource` of history events.
    pub(crate) fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::LambdaInvoke => ("lambda", "invoke"),
            Self::StartJobRunSync => ("emr-serverless", "startJobRun.sync"),
            Self::PutEvents => ("events", "putEvents"),
            Self::Function => ("lambda", "function"),
        }
    }
}

/// `NAME` of `arn:aws:lambda:REGION:ACCOUNT:function:NAME`, with the qualifier if there is one.
pub(crate) fn function_name(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(7, ':');
    let mut part = || parts.next();
    let [scheme, partition, service, _, _, kind] =
        [part()?, part()?, part()?, part()?, part()?, part()?];
    let name = part().filter(|name| !name.is_empty())?;
    let function = scheme == "arn" && partition.starts_with("aws") && service == "lambda";
    (function && kind == "function").then_some(name)
}

/// A number that stands in the machine or in the input.
#[derive(Debug)]
pub(crate) enum Limit {
    None,
    Fixed(u64),
    Path(Path),
}

#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) mode: Mode,
    pub(crate) items: Path,
    pub(crate) selector: Option<Template>,
    pub(crate) concurrency: Limit,
    pub(crate) result: ResultRule,
    pub(crate) processor: Arc<Scope>,
    /// `ItemProcessor`, or `Iterator` as it was called.
    pub(crate) processor_field: &'static str,
}

#[derive(Debug)]
pub(crate) enum Mode {
    Inline,
    Distributed(Box<Distributed>),
}

/// What only a Map in distributed mode has.
#[derive(Debug)]
pub(crate) struct Distributed {
    pub(crate) label: String,
    pub(crate) reader: Option<Reader>,
    pub(crate) batcher: Option<Batcher>,
    pub(crate) tolerance: Tolerance,
    pub(crate) writer: Option<Template>,
}

/// An ItemReader: where a distributed Map finds its items.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) source: Source,
    pub(crate) parameters: Template,
    /// 0 is no limit.
    pub(crate) max_items: Limit,
}

/// An ItemBatcher: how many items a child gets at once, and what it gets beside them.
#[derive(Debug)]
pub(crate) struct Batcher {
    pub(crate) most_items: Limit,
    pub(crate) most_bytes: Limit,
    pub(crate) input: Option<Template>,
}

/// How many items may fail before a Map Run does.
#[derive(Debug)]
pub(crate) struct Tolerance {
    pub(crate) count: Limit,
    pub(crate) percentage: Percentage,
}

/// A percentage that stands in the machine or in the input.
#[derive(Debug)]
pub(crate) enum Percentage {
    None,
    Fixed(f64),
    Path(Path),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// `s3:getObject` of a JSON array.
    Json,
    /// `s3:getObject` of one JSON value per line.
    JsonLines,
    /// `s3:getObject` of records with one delimiter.
    Csv { header: Header, delimiter: u8 },
    /// `s3:listObjectsV2`.
    Listing,
}

/// Where the names of a CSV file's columns stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Header {
    FirstRow,
    Given(Vec<String>),
}

#[derive(Debug)]
pub(crate) struct Parallel {
    pub(crate) parameters: Option<Template>,
    pub(crate) branches: Vec<Arc<Scope>>,
    pub(crate) result: ResultRule,
}

#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) rules: Vec<(Rule, String)>,
    pub(crate) default: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) fixed: Option<Value>,
    pub(crate) parameters: Option<Template>,
    pub(crate) path: Option<Path>,
}

#[derive(Debug)]
pub(crate) enum Wait {
    Seconds(u64),
    SecondsPath(Path),
    Timestamp(Timestamp),
    TimestampPath(Path),
}

#[derive(Debug)]
pub(crate) struct Fail {
    pub(crate) error: Option<Text>,
    pub(crate) cause: Option<Text>,
}

/// A text that stands in the machine or is computed.
#[derive(Debug)]
pub(crate) enum Text {
    Fixed(String),
    From(Expression),
}

/// One row of Retry, with its defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryRow {
    /// The error names that this row retries.
    pub error_equals: Vec<String>,
    /// Delay before the first retry (default 1).
    pub interval_seconds: u64,
    /// How often this row retries (default 3, 0 is never).
    pub max_attempts: u32,
    /// By what the delay grows each time (default 2.0).
    pub backoff_rate: f64,
    /// What no delay exceeds.
    pub max_delay_seconds: Option<u64>,
    /// True for `JitterStrategy: FULL`: the delay is anything from zero to the computed one.
    pub full_jitter: bool,
}

/// One row of Catch.
#[derive(Debug, Clone, PartialEq)]
pub struct CatchRow {
    /// The error names that this row catches.
    pub error_equals: Vec<String>,
    /// The state that goes on.
    pub next: String,
    pub(crate) result_path: Option<Path>,
}

impl State {
    /// The scopes inside this state, each with its place below the state's own.
    pub(crate) fn scopes(&self) -> Vec<(&Scope, String)> {
        match &self.body {
            Body::Map(map) => vec![(&*map.processor, map.processor_field.to_owned())],
            Body::Parallel(parallel) => {
                let branches = parallel.branches.iter().enumerate();
                branches.map(|(index, it)| (&**it, format!("Branches/{index}"))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Every state that may come next in the same scope.
    pub(crate) fn targets(&self) -> Vec<&str> {
        let mut targets = Vec::new();
        match &self.body {
            Body::Choice(choice) => {
                targets.extend(choice.rules.iter().map(|(_, next)| next.as_str()));
                targets.extend(choice.default.as_deref());
            }
            Body::Succeed | Body::Fail(_) => {}
            _ => {
                if let Target::Next(next) = &self.next {
                    targets.push(next);
                }
            }
        }
        targets.extend(self.catch.iter().map(|row| row.next.as_str()));
        targets
    }

    /// True if an execution can end here without an error.
    pub(crate) fn is_terminal(&self) -> bool {
        match &self.body {
            Body::Succeed | Body::Fail(_) => true,
            Body::Choice(_) => false,
            _ => self.next == Target::End,
        }
    }
}
