//! What is deployed: two functions are built and packed for the other architecture than most people
//! have, and answer their events there. `make package` does the same for all of them, optimised.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use integration::{Cloud, Rie};
use serde_json::Value;
use storage::Condition;
use tempfile::TempDir;
use zip::{CompressionMethod, ZipArchive};

use crate::contract;
use crate::samples::{STAGES, holds, rename_parcel, sample, settle, steps, world};

const FUNCTIONS: [&str; 2] = ["plan", "size"];
const ARCHITECTURE: &str = "arm64";
/// Runs a program for that architecture on any other one, with its C library.
const ELSEWHERE: [&str; 3] = ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"];
/// The first bytes of a Linux program for arm64, and where the architecture is in them.
const MACHINE: (usize, [u8; 2]) = (18, [0xb7, 0]);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root")
}

/// Python with what packages are made with.
fn python() -> Command {
    let mut python = Command::new(root().join(".venv-package/bin/python"));
    python.current_dir(root()).env("PYTHONDONTWRITEBYTECODE", "1");
    without_cargo(&mut python);
    python
}

/// What Cargo told this test about its own package is not meant for the build of another one.
fn without_cargo(command: &mut Command) {
    let kept = ["CARGO_HOME", "CARGO_TARGET_DIR"];
    let names = std::env::vars().map(|(name, _)| name);
    for name in names.filter(|name| name.starts_with("CARGO") && !kept.contains(&name.as_str())) {
        command.env_remove(name);
    }
}

fn package(output: &Path, more: &[&str]) -> Output {
    let command = ["functions/package", "--architecture", ARCHITECTURE, "--profile", "rehearsal"];
    let mut python = python();
    python.args(command).args(FUNCTIONS).args(more).arg("--output").arg(output);
    python.output().expect("Python of .venv-package: run `make tools`")
}

fn packed() -> (TempDir, Output) {
    let room = tempfile::tempdir().expect("a folder");
    let output = package(room.path(), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (room, output)
}

fn zip_of(folder: &Path, function: &str) -> PathBuf {
    folder.join(ARCHITECTURE).join(format!("{function}.zip"))
}

#[test]
fn a_package_is_one_program_and_the_same_bytes_each_time() {
    let (first, output) = packed();
    let table = String::from_utf8(output.stdout).expect("text");
    let again = tempfile::tempdir().expect("a folder");
    // Another time, user mask and zone.
    let script =
        format!("umask 077; TZ=Asia/Tokyo exec \"$@\" --output {}", again.path().display());
    let mut strict = Command::new("sh");
    without_cargo(&mut strict);
    strict.args(["-c", &script, "sh"]).arg(python().get_program()).current_dir(root());
    strict.args(["functions/package", "--architecture", ARCHITECTURE, "--profile", "rehearsal"]);
    assert!(strict.args(FUNCTIONS).output().expect("sh").status.success());
    for function in FUNCTIONS {
        let path = zip_of(first.path(), function);
        let bytes = std::fs::read(&path).expect("a package");
        assert_eq!(bytes, std::fs::read(zip_of(again.path(), function)).expect("a package"));
        let mut zip = ZipArchive::new(File::open(&path).expect("a package")).expect("a zip");
        assert_eq!(zip.len(), 1);
        let mut entry = zip.by_name("bootstrap").expect("the program");
        assert_eq!(entry.unix_mode(), Some(0o100_755));
        assert_eq!(entry.compression(), CompressionMethod::Deflated);
        assert_eq!(entry.last_modified().expect("a time").year(), 1980);
        let mut program = Vec::new();
        std::io::copy(&mut entry, &mut program).expect("a program");
        assert_eq!(program[MACHINE.0..MACHINE.0 + 2], MACHINE.1);
        let row = table.lines().find(|line| line.contains(&format!("| {function} ")));
        assert!(row.is_some_and(|row| row.contains(ARCHITECTURE)), "{table}");
        // Folders of this machine are nobody's business and differ from the next one's.
        let home = root().display().to_string();
        assert!(memchr::memmem::find(&program, home.as_bytes()).is_none(), "{home} in {function}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_for_another_architecture_answers_its_sample_events() {
    let (room, _) = packed();
    let world = world(1 << 30);
    let cloud = Cloud::start(&world);
    let key = domain::keys::profile("acme");
    drop(cloud.store().put(&key, &world.profile(), Condition::Any).await.expect("a profile"));
    let discover = contract::start("discover", &cloud.setting());
    for (name, expected) in steps() {
        let (_, word, _) = STAGES.iter().find(|(file, ..)| *file == name).expect("a sample");
        let event = sample(&name).to_string();
        let answer: Value = match *word {
            "discover" => discover.invoke(event.as_bytes()),
            // The first planning and the sizing; what comes between is left out, so nothing is large.
            "size" => elsewhere(room.path(), word, &cloud).invoke(event.as_bytes()),
            "plan" if name == "plan-fetch" => {
                let answer = elsewhere(room.path(), word, &cloud).invoke(event.as_bytes());
                rename_parcel(&cloud.store(), &name, &answer).await;
                answer
            }
            _ => continue,
        };
        assert!(holds(&settle(answer.clone()), &expected), "{name}: {answer} lacks {expected}");
    }
}

/// The program of a package, under the emulator and on an emulated processor.
fn elsewhere(packages: &Path, function: &str, cloud: &Cloud) -> Rie {
    let folder = packages.join(function);
    let zip = File::open(zip_of(packages, function)).expect("a package");
    ZipArchive::new(zip).expect("a zip").extract(&folder).expect("an unpacked package");
    let bootstrap = folder.join("bootstrap").display().to_string();
    let [qemu, options @ ..] = ELSEWHERE;
    let path = std::env::var("PATH").expect("a PATH");
    let qemu = path.split(':').map(|folder| format!("{folder}/{qemu}"));
    let qemu = qemu.into_iter().find(|qemu| Path::new(qemu).is_file()).expect("qemu");
    let command: Vec<&str> =
        [qemu.as_str()].into_iter().chain(options).chain([&*bootstrap]).collect();
    Rie::start(&command, &cloud.setting())
}

#[test]
fn a_program_that_needs_a_newer_c_library_is_refused_and_not_packed() {
    let room = tempfile::tempdir().expect("a folder");
    let stale = zip_of(room.path(), FUNCTIONS[0]);
    std::fs::create_dir_all(stale.parent().expect("a folder")).expect("a folder");
    std::fs::write(&stale, "of yesterday").expect("a file");
    let output = package(room.path(), &["--newest-glibc", "2.17"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("plan needs glibc 2.") && said.contains("image has 2.17: "), "{said}");
    assert!(said.contains("getrandom"), "the symbol is named: {said}");
    assert!(!stale.exists(), "what was refused is still there");
}

/// Runs a line of Python with the packages' modules; what it ends with when it fails.
fn judged(line: &str) -> Result<String, String> {
    let mut python = python();
    python.current_dir(root().join("functions/package"));
    let output =
        python.args(["-c", &format!("import pathlib, archive, binary, cold_start; {line}")]);
    let output = output.output().expect("Python of .venv-package");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn a_program_that_its_image_cannot_load_is_refused() {
    let openssl = "pathlib.Path('/usr/bin/openssl')";
    let machine = if cfg!(target_arch = "x86_64") { "EM_X86_64" } else { "EM_AARCH64" };
    for (check, words) in [
        (format!("binary.check('a', {openssl}, 'EM_RISCV', '9.9')"), "not EM_RISCV"),
        (format!("binary.check('a', {openssl}, '{machine}', '9.9')"), "a needs libssl.so"),
        (format!("binary.check_static('a', {openssl}, '{machine}')"), "a is not static"),
    ] {
        let refused = judged(&check).expect_err("refused");
        assert!(refused.contains("Refused") && refused.contains(words), "{refused}");
    }
}

/// Packs a program of nine bytes that has those file modes, and returns the one pack that comes of it.
fn pack(call: &str) -> Vec<u8> {
    let room = tempfile::tempdir().expect("a folder");
    let [program, packed] = ["bootstrap", "packed"].map(|name| room.path().join(name));
    let packs = ["0o600", "0o777"].map(|mode| {
        std::fs::write(&program, "a program").expect("a file");
        let paths = format!("{:?}, {:?}", program.display(), packed.display());
        let paths = format!("p, q = map(pathlib.Path, ({paths}))");
        judged(&format!("{paths}; p.chmod({mode}); archive.{call}")).expect("a pack");
        std::fs::read(&packed).expect("a pack")
    });
    let [strict, open] = packs;
    assert_eq!(strict, open, "{call} takes more of a file than its bytes");
    open
}

#[test]
fn a_pack_is_executable_whatever_its_file_was() {
    let zip = pack("zip_bootstrap(p, q)");
    let mut zip = ZipArchive::new(std::io::Cursor::new(zip)).expect("a zip");
    assert_eq!(zip.by_name("bootstrap").expect("the program").unix_mode(), Some(0o100_755));
}

#[test]
fn the_archive_of_the_spark_job_holds_its_program() {
    let packed = pack("tar_program(p, 'count-large', q)");
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&*packed));
    let entries = tar.entries().expect("entries").map(|entry| {
        let entry = entry.expect("an entry");
        let header = entry.header();
        let path = entry.path().expect("a path").display().to_string();
        (path, header.mode().expect("a mode"), header.size().expect("a size"))
    });
    assert_eq!(entries.collect::<Vec<_>>(), [(count_large::NAME.to_owned(), 0o755, 9)]);
    assert_eq!(count_large::ARCHIVE_NAME, format!("{}.tar.gz", count_large::NAME));
}

#[test]
fn a_start_is_measured_to_the_first_request_and_fails_without_one() {
    let seconds = judged(&format!("print(cold_start.seconds('{}'))", env!("CARGO_BIN_EXE_odd")));
    let seconds: f64 = seconds.expect("a measurement").parse().expect("seconds");
    assert!(seconds > 0.0, "{seconds}");
    let failed = judged("cold_start.seconds('/bin/false')").expect_err("it asks for nothing");
    assert!(failed.contains("Failed: /bin/false ended with 1"), "{failed}");
}
