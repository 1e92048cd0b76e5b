//! `dray size`: what the partners' Spark jobs need on EMR Serverless.

use std::ops::Add;
use std::process::ExitCode;

use domain::Profile;
use runtime::SparkApplication;
use size::{Capacity, Share};

use crate::cli::SizeArguments;
use crate::run::read_profile;

/// Prints the table, and sets the application's capacity when asked to.
///
/// # Errors
/// When a profile cannot be used, or EMR Serverless refuses.
pub async fn command(arguments: &SizeArguments) -> anyhow::Result<ExitCode> {
    let mut profiles: Vec<Profile> = Vec::new();
    for path in &arguments.profiles {
        let profile = read_profile(path)?;
        anyhow::ensure!(
            profiles.iter().all(|known| known.partner != profile.partner),
            "{}: partner {:?} is given twice; a partner has one profile",
            path.display(),
            profile.partner
        );
        profiles.push(profile);
    }
    print!("{}", table(&profiles));
    if let Some(application) = &arguments.apply {
        let Capacity { cores, memory_gb, disk_gb } = capacity(&profiles);
        let spark = SparkApplication::from_env(application).await;
        spark.set_maximum_capacity(cores, memory_gb, disk_gb).await?;
        println!("Application {application} may use that much now.");
    }
    Ok(ExitCode::SUCCESS)
}

fn capacity(profiles: &[Profile]) -> Capacity {
    Capacity::of(profiles.iter().map(|profile| &profile.spark))
}

fn table(profiles: &[Profile]) -> String {
    let partners = profiles.iter().map(|one| (one.partner.as_str(), Share::of(&one.spark)));
    let all = profiles.iter().map(|one| Share::of(&one.spark)).fold(Share::default(), Add::add);
    let width =
        profiles.iter().map(|one| one.partner.len()).max().unwrap_or(0).max("partner".len());
    let mut text = format!("{:width$}  workers  executors  cores  memory GB\n", "partner");
    for (name, share) in partners.chain([("all", all)]) {
        let Share { workers, executors, cores, memory_gb } = share;
        text.push_str(&format!(
            "{name:width$}  {workers:7}  {executors:9}  {cores:5}  {memory_gb:9}\n"
        ));
    }
    let Capacity { cores, memory_gb, disk_gb } = capacity(profiles);
    text.push_str(&format!(
        "\nMaximum capacity, drivers included: {cores} vCPU, {memory_gb} GB of memory, {disk_gb} GB \
         of disk.\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_partner_all_of_them_and_the_capacity() {
        let profile = |partner: &str, spark: serde_json::Value| {
            let end = |user: &str| {
                serde_json::json!({
                    "host": "sftp.example", "username": user, "auth": {"password": "a/password"},
                    "host_keys": ["SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
                    "directory": "/out",
                })
            };
            let text = serde_json::json!({
                "partner": partner, "source": end("a"), "target": end("b"), "spark": spark,
                "report": {"url": "https://api.example/v1/files"},
                "encryption": {"certificate": "a/certificate"},
            });
            Profile::parse(&text.to_string()).expect("a profile")
        };
        let profiles = [
            profile("acme", serde_json::json!({})),
            profile(
                "a-long-name",
                serde_json::json!({"executors": 1, "cores": 4, "memory_gb": 30}),
            ),
        ];
        let expected = "\
partner      workers  executors  cores  memory GB
acme               2          4      8         32
a-long-name        1          1      4         30
all                3          5     12         62

Maximum capacity, drivers included: 18 vCPU, 100 GB of memory, 140 GB of disk.
";
        assert_eq!(table(&profiles), expected);
    }
}
