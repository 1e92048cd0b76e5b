//! Who may import whom: `dray, stages -> libraries -> domain`, and each foreign world has one home.
//! Only normal dependencies count; tests may use what they like.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{complains, none, root};

/// Foreign crates and the only packages that may depend on them.
const HOMES: [(&str, &[&str]); 20] = [
    ("aws-config", &["runtime", "secrets", "storage"]),
    ("aws-smithy-http-client", &["runtime", "secrets", "storage"]),
    ("aws-sdk-s3", &["storage"]),
    ("aws-sdk-secretsmanager", &["secrets"]),
    ("aws-sdk-sfn", &["runtime"]),
    ("aws-sdk-emrserverless", &["runtime"]),
    ("lambda_runtime", &["runtime"]),
    ("russh", &["sftp"]),
    ("russh-sftp", &["sftp"]),
    ("sequoia-openpgp", &["openpgp"]),
    ("reqwest", &["report"]),
    ("s3s", &["dray"]),
    ("bzip2", &["archive"]),
    ("deflate64", &["archive"]),
    ("liblzma", &["archive"]),
    ("miniz_oxide", &["archive"]),
    ("zstd", &["archive"]),
    // The demo and the test world pack the archives that they send.
    ("flate2", &["archive", "dray", "integration"]),
    ("tar", &["archive", "dray", "integration"]),
    ("zip", &["archive", "dray", "integration"]),
];
/// Libraries that judge hostile bytes and keys: no network, no AWS, anywhere below them.
const PURE: [&str; 3] = ["archive", "records", "openpgp"];
const IMPURE: [&str; 8] =
    ["tokio", "mio", "hyper", "reqwest", "russh", "aws-config", "aws-sdk-s3", "socket2"];

/// Where a package of ours stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Domain,
    Library,
    Stage,
    Engine,
    Dray,
    Integration,
}

impl Layer {
    fn of(folder: &str) -> Option<Self> {
        Some(match folder {
            "functions/lib/domain" => Self::Domain,
            "statemachine/engine" => Self::Engine,
            "statemachine/dray" => Self::Dray,
            "integration" => Self::Integration,
            _ if folder.starts_with("functions/lib/") => Self::Library,
            _ if folder.starts_with("functions/") => Self::Stage,
            _ => return None,
        })
    }

    fn may_import(self, other: Self) -> bool {
        match self {
            Self::Domain | Self::Engine => false,
            Self::Library => other == Self::Domain,
            Self::Stage => matches!(other, Self::Domain | Self::Library),
            Self::Dray => !matches!(other, Self::Dray | Self::Integration),
            Self::Integration => other != Self::Integration,
        }
    }
}

/// A package of ours and what it normally depends on.
#[derive(Clone, Debug)]
struct Package {
    name: String,
    folder: String,
    imports: Vec<String>,
}

fn packages(metadata: &Value, root: &Path) -> Vec<Package> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let manifest = text(&package["manifest_path"]);
            let folder =
                Path::new(&manifest).parent().and_then(|path| path.strip_prefix(root).ok());
            let normal = list(&package["dependencies"]);
            let normal = normal.iter().filter(|dependency| dependency["kind"] == json!(null));
            Package {
                name: text(&package["name"]),
                folder: folder.map(|path| path.display().to_string()).unwrap_or_default(),
                imports: normal.map(|dependency| text(&dependency["name"])).collect(),
            }
        })
        .collect()
}

fn complaints(packages: &[Package]) -> Vec<String> {
    let mut found = Vec::new();
    for package in packages {
        let (name, folder) = (&package.name, &package.folder);
        let Some(layer) = Layer::of(folder) else {
            found.push(format!("{name} is in {folder:?}, which the design does not have"));
            continue;
        };
        for import in &package.imports {
            let ours = packages.iter().find(|other| other.name == *import);
            let to = ours.and_then(|ours| Layer::of(&ours.folder));
            if to.is_some_and(|to| !layer.may_import(to)) {
                found.push(format!("{name} must not import {import}"));
            }
            let home = HOMES.iter().find(|(crate_name, _)| crate_name == import);
            if home.is_some_and(|(_, homes)| !homes.contains(&name.as_str())) {
                found.push(format!("{name} is no home of {import}"));
            }
            if import.starts_with("aws-sdk-") && home.is_none() {
                found.push(format!("{import} has no home, and {name} imports it"));
            }
        }
    }
    found
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).arg("--offline").current_dir(root()).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn ours() -> Vec<Package> {
    let text = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    packages(&serde_json::from_str(&text).expect("metadata"), &root())
}

#[test]
fn nobody_imports_what_the_design_forbids() {
    let packages = ours();
    assert!(packages.len() > 20, "{packages:?}");
    none(&complaints(&packages));
}

#[test]
fn the_judges_of_hostile_bytes_know_no_network() {
    for package in PURE {
        let tree = cargo(&["tree", "--package", package, "--edges", "normal", "--prefix", "none"]);
        assert!(tree.contains("domain"), "{tree}");
        let names = tree.lines().filter_map(|line| line.split_whitespace().next());
        let bad: Vec<&str> = names.filter(|name| IMPURE.contains(name)).collect();
        assert!(bad.is_empty(), "{package} reaches {bad:?}: cargo tree -p {package} -i <crate>");
    }
}

#[test]
fn a_forbidden_import_is_noticed() {
    let packages = ours();
    let with = |name: &str, import: &str| {
        let mut copy = packages.clone();
        let package = copy.iter_mut().find(|package| package.name == name).expect("package");
        package.imports.push(import.to_owned());
        complaints(&copy)
    };
    complains(&with("upload", "download"), "upload must not import download");
    complains(&with("archive", "storage"), "archive must not import storage");
    complains(&with("domain", "sftp"), "domain must not import sftp");
    complains(&with("engine", "domain"), "engine must not import domain");
    complains(&with("dray", "integration"), "dray must not import integration");
    complains(&with("inspect", "russh"), "inspect is no home of russh");
    complains(&with("dray", "aws-sdk-s3"), "dray is no home of aws-sdk-s3");
    complains(&with("runtime", "aws-sdk-sqs"), "aws-sdk-sqs has no home");
}
