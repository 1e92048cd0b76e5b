//! Jobs by a real `spark-submit` on this machine.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use async_trait::async_trait;
use flate2::Compression;
use flate2::write::GzEncoder;
use storage::{Condition, Store};
use tokio::process::Command;

use super::{Runner, SparkSubmitDriver};

/// The job's log, in its folder.
const LOG: &str = "driver.log";
/// How much of the log's end is told when the job fails.
const TOLD_LINES: usize = 20;
const TOLD_BYTES: usize = 2000;
/// What differs on one machine: nothing listens beyond loopback, and the heap is a laptop's, not
/// that of the worker which the parameters ask for. Later options win over earlier ones.
const HERE: [&str; 4] = [
    "spark.ui.enabled=false",
    "spark.driver.host=127.0.0.1",
    "spark.driver.bindAddress=127.0.0.1",
    "spark.driver.memory=1g",
];

/// Runs jobs with the installed Spark: files of theirs in S3 are fetched first, for a plain Spark
/// cannot read `s3://`.
pub struct SparkSubmit {
    /// Such as `local[2]`.
    pub master: String,
    /// The program, such as `spark-submit`.
    pub program: PathBuf,
    /// Where the job's files are.
    pub store: Store,
    /// How the job's program reaches the bucket: what `AWS_…` variables it needs.
    pub environment: Vec<(String, String)>,
}

/// The job's files, as a deployment puts them into its bucket.
#[derive(Clone, Debug)]
pub struct JobFiles {
    /// The command that is the counter: a program and its first arguments.
    pub counter: Vec<String>,
}

impl JobFiles {
    /// Puts them under `prefix`, over older ones.
    ///
    /// # Errors
    /// When the bucket cannot be written.
    pub async fn publish(&self, store: &Store, prefix: &str) -> anyhow::Result<()> {
        let job = count_large::SPARK_JOB.as_bytes().to_vec();
        for (name, bytes) in
            [(count_large::SPARK_JOB_NAME, job), (count_large::ARCHIVE_NAME, self.archive()?)]
        {
            drop(store.put_bytes(&format!("{prefix}/{name}"), bytes.into(), Condition::Any).await?);
        }
        Ok(())
    }

    /// An archive with a program of the right name, which calls the counter where it lies.
    fn archive(&self) -> anyhow::Result<Vec<u8>> {
        let command = shlex::try_join(self.counter.iter().map(String::as_str))
            .context("the counter's path cannot be written into a script")?;
        let script = format!("#!/bin/sh\nexec {command} \"$@\"\n");
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(script.len() as u64);
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        archive.append_data(&mut header, count_large::NAME, script.as_bytes())?;
        Ok(archive.into_inner()?.finish()?)
    }
}

#[async_trait]
impl Runner for SparkSubmit {
    async fn run(&self, job: &SparkSubmitDriver, folder: &Path) -> Result<(), String> {
        let log = folder.join(LOG);
        let ended = self.submit(job, folder, &log).await;
        let status = ended.map_err(|error| format!("{error:#}"))?;
        if status.success() {
            return Ok(());
        }
        Err(format!(
            "spark-submit ended with {status}; the end of {}:\n{}",
            log.display(),
            end(&log)
        ))
    }
}

impl SparkSubmit {
    async fn submit(
        &self,
        job: &SparkSubmitDriver,
        folder: &Path,
        log: &Path,
    ) -> anyhow::Result<std::process::ExitStatus> {
        tokio::fs::create_dir_all(folder).await?;
        let parameters = shlex::split(&job.spark_submit_parameters).unwrap_or_default();
        let mut command = Command::new(&self.program);
        for parameter in parameters {
            command.arg(self.with_files(&parameter, folder).await?);
        }
        command.args(["--master", &self.master]);
        command.args(HERE.iter().flat_map(|setting| ["--conf", setting]));
        command.arg(self.with_files(&job.entry_point, folder).await?);
        command.args(&job.entry_point_arguments);
        let out = std::fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // Spark takes an empty one for a place.
        if std::env::var_os("SPARK_HOME").is_some_and(|home| home.is_empty()) {
            command.env_remove("SPARK_HOME");
        }
        // The spark-submit of a Python environment wants the Python beside it.
        let own = self.program.parent().filter(|folder| !folder.as_os_str().is_empty());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = own.map(Path::to_path_buf).into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders)?);
        command.env("SPARK_LOCAL_IP", "127.0.0.1").current_dir(folder).kill_on_drop(true);
        let mut running = command.spawn().with_context(|| {
            format!(
                "{} cannot be started; install Spark (pip install pyspark==3.5.6, and a Java) or \
                 leave out --spark",
                self.program.display()
            )
        })?;
        Ok(running.wait().await?)
    }

    /// The text with every `s3://…` in it fetched into the folder and named as a file.
    async fn with_files(&self, text: &str, folder: &Path) -> anyhow::Result<String> {
        let mut local = String::new();
        let mut rest = text;
        while let Some((before, uri)) = rest.split_once("s3://") {
            let end = uri.find([',', '#']).unwrap_or(uri.len());
            let (uri, behind) = uri.split_at_checked(end).unwrap_or((uri, ""));
            local.push_str(before);
            local.push_str(&self.fetch(uri, folder).await?.display().to_string());
            rest = behind;
        }
        local.push_str(rest);
        Ok(local)
    }

    async fn fetch(&self, uri: &str, folder: &Path) -> anyhow::Result<PathBuf> {
        let (bucket, key) =
            uri.split_once('/').with_context(|| format!("s3://{uri} names no key"))?;
        let found = self.store.with_bucket(bucket).get_bytes(key).await?;
        let found = found.with_context(|| format!("the job's file s3://{uri} is not there"))?;
        let name = key.rsplit('/').next().unwrap_or(key);
        let path = folder.join(name);
        std::fs::File::create(&path)?.write_all(&found.value)?;
        Ok(path)
    }
}

/// The end of a log, on whole lines.
fn end(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut told = Vec::new();
    let mut bytes = 0;
    for line in text.lines().rev().take(TOLD_LINES) {
        bytes += line.len();
        if bytes > TOLD_BYTES {
            break;
        }
        told.push(line);
    }
    told.reverse();
    told.join("\n")
}
