//! Services that do what a case says, and nothing else: functions by a script, objects in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use engine::{FastClock, LambdaCall, S3Object, Services, TaskError};
use serde_json::{Value, json};

type Answer = Result<Value, TaskError>;

/// No case has a longer limit than this; a call that hangs outlasts them all.
const LONGER_THAN_ANY_LIMIT: Duration = Duration::from_secs(100_000);

pub struct Scripted {
    functions: BTreeMap<String, Vec<Value>>,
    calls: Mutex<BTreeMap<String, usize>>,
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    clock: Arc<FastClock>,
}

impl Scripted {
    pub fn new(
        functions: &BTreeMap<String, Vec<Value>>,
        objects: &BTreeMap<String, Value>,
        clock: &Arc<FastClock>,
    ) -> Self {
        let bytes = |value: &Value| match value {
            Value::String(text) => text.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        };
        let objects = objects.iter().map(|(place, body)| (place.clone(), bytes(body))).collect();
        Self {
            functions: functions.clone(),
            calls: Mutex::default(),
            objects: Mutex::new(objects),
            clock: Arc::clone(clock),
        }
    }

    /// How often a function was called.
    pub fn calls(&self, name: &str) -> usize {
        self.calls.lock().unwrap().get(name).copied().unwrap_or(0)
    }

    /// Counts a call and answers its number, from 1.
    fn count(&self, name: &str) -> usize {
        let mut calls = self.calls.lock().unwrap();
        let made = calls.entry(name.to_owned()).or_default();
        *made += 1;
        *made
    }
}

/// An error as a Lambda function's runtime reports it.
fn failure(name: &str) -> TaskError {
    let cause = json!({"errorMessage": "because", "errorType": name});
    TaskError::new(name, cause.to_string())
}

fn sum(payload: &Value) -> Value {
    payload.as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).sum::<i64>().into()
}

#[async_trait]
impl Services for Scripted {
    async fn lambda_invoke(&self, call: LambdaCall) -> Answer {
        let number = self.count(&call.function_name);
        let echo = vec![json!("echo")];
        let steps = self.functions.get(&call.function_name).unwrap_or(&echo);
        let step = steps.get(number - 1).or(steps.last()).unwrap();
        let payload = call.payload;
        match step {
            Value::String(word) => match word.as_str() {
                "echo" => Ok(payload),
                "sum" => Ok(sum(&payload)),
                "pair" => Ok(json!([payload, payload])),
                "count" => Ok(number.into()),
                "hang" => {
                    // A limit counts from when it is first awaited, which is after this call began.
                    loop {
                        tokio::task::yield_now().await;
                        self.clock.advance(LONGER_THAN_ANY_LIMIT);
                    }
                }
                word => match word.strip_prefix("fail:") {
                    Some(name) => Err(failure(name)),
                    None => panic!("no step {word}"),
                },
            },
            step if step.get("answer").is_some() => Ok(step["answer"].clone()),
            step if step.get("large").is_some() => {
                Ok(Value::String("x".repeat(step["large"].as_u64().unwrap() as usize)))
            }
            step if step.get("fail_when").is_some() => {
                if step["fail_when"] == payload {
                    Err(failure(step["with"].as_str().unwrap()))
                } else {
                    Ok(payload)
                }
            }
            other => panic!("no step {other}"),
        }
    }

    async fn emr_serverless_start_job_run_sync(&self, _parameters: Value) -> Answer {
        panic!("no case starts a job")
    }

    async fn events_put_events(&self, _parameters: Value) -> Answer {
        panic!("no case sends events")
    }

    async fn s3_get_object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, TaskError> {
        let objects = self.objects.lock().unwrap();
        let missing = || TaskError::new("S3.NoSuchKeyException", "no such key");
        objects.get(&format!("{bucket}/{key}")).cloned().ok_or_else(missing)
    }

    async fn s3_list_objects_v2(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> Result<Vec<S3Object>, TaskError> {
        let start = format!("{bucket}/{prefix}");
        let objects = self.objects.lock().unwrap();
        let found = objects.iter().filter(|(place, _)| place.starts_with(&start));
        let listed = found.map(|(place, body)| S3Object {
            key: place.split_once('/').unwrap().1.into(),
            size: body.len() as u64,
            etag: "\"tag\"".into(),
            last_modified: "2026-01-02T03:04:05Z".parse().unwrap(),
            storage_class: "STANDARD".into(),
        });
        Ok(listed.collect())
    }

    async fn s3_put_object(&self, bucket: &str, key: &str, body: Vec<u8>) -> Result<(), TaskError> {
        if bucket != "conformance" {
            return Err(TaskError::new("S3.NoSuchBucketException", "no such bucket"));
        }
        self.objects.lock().unwrap().insert(format!("{bucket}/{key}"), body);
        Ok(())
    }
}
