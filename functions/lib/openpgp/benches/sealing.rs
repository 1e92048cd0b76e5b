//! Sealing and proving against `gpg` and `sq` on the same file: `cargo bench -p openpgp`. Prints
//! medians and ratios and judges nothing. `MIB` sets the size of the file, 512 unless given.
//!
//! All read the same file, write nowhere, compress nothing, and take turns. Processor time is what
//! counts on a busy machine; wall time also shows what threads gain.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use jiff::Timestamp;
use openpgp::{Format, GenerateOptions, KeyKind, Recipient, SealOptions, generate, prove, seal};

const ROUNDS: usize = 5;
const MIB_DEFAULT: u64 = 512;

fn main() {
    let mib = std::env::var("MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(MIB_DEFAULT);
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let file = folder.path().join("plain");
    write_noise(&file, mib);
    println!("{mib} MiB, medians of {ROUNDS}; times gpg and times sq are speeds: more is faster");
    for (name, kind) in [("RSA-4096", KeyKind::Rsa(4096)), ("Cv25519", KeyKind::Cv25519)] {
        let user_id = format!("{name}@bench");
        let pair = generate(&GenerateOptions { kind, ..GenerateOptions::new(&user_id) }).unwrap();
        let recipient = Recipient::parse(pair.public.as_bytes(), Timestamp::now()).unwrap();
        let certificate = folder.path().join(format!("{name}.asc"));
        std::fs::write(&certificate, &pair.public).unwrap();
        run(gpg(folder.path()).arg("--import").arg(&certificate));
        compare(
            name,
            &[
                ("gpg", &|| vec![timed(|| run(&mut gpg_encrypt(folder.path(), &user_id, &file)))]),
                ("sq", &|| vec![timed(|| run(&mut sq_encrypt(&certificate, &file)))]),
                ("v1", &|| ours(&recipient, Format::V1, false, &file)),
                ("v2", &|| ours(&recipient, Format::V2, false, &file)),
                ("v1 armored", &|| ours(&recipient, Format::V1, true, &file)),
            ],
        );
    }
}

/// Something that takes one time, or one for sealing and one for proving.
type Contender<'a> = (&'static str, &'a dyn Fn() -> Vec<Cost>);

/// Lets all take turns and prints how they did.
fn compare(title: &str, contenders: &[Contender<'_>]) {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(contenders.iter().map(|(_, work)| work()).collect::<Vec<_>>());
    }
    let middle = |contender: usize, part: usize| {
        let costs = rounds.iter().map(|round| round.get(contender)?.get(part).copied());
        let costs = costs.collect::<Option<Vec<Cost>>>()?;
        Some(Cost {
            wall: median(costs.iter().map(|cost| cost.wall)),
            processor: median(costs.iter().map(|cost| cost.processor)),
        })
    };
    let (gpg, sq) = (middle(0, 0).unwrap(), middle(1, 0).unwrap());
    println!("{title:16} wall s  x gpg   x sq   cpu s  x gpg   x sq");
    for (index, (name, _)) in contenders.iter().enumerate() {
        let costs = [middle(index, 0), middle(index, 1)];
        let names = match costs {
            [_, None] => [(*name).to_owned(), String::new()],
            _ => [format!("seal {name}"), format!("prove {name}")],
        };
        for (name, Cost { wall, processor }) in
            names.iter().zip(costs).filter_map(|(name, cost)| Some((name, cost?)))
        {
            println!(
                "{name:16} {wall:6.3} {:6.2} {:6.2} {processor:7.2} {:6.2} {:6.2}",
                gpg.wall / wall,
                sq.wall / wall,
                gpg.processor / processor,
                sq.processor / processor,
            );
        }
    }
}

/// Seconds.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    processor: f64,
}

fn median(all: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<_> = all.collect();
    all.sort_unstable_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap()
}

/// How long our sealing to nowhere takes, and then the proof of what was sealed.
fn ours(recipient: &Recipient, format: Format, armor: bool, file: &Path) -> Vec<Cost> {
    let options = SealOptions { format, armor, signer: None };
    let mut null = File::create("/dev/null").unwrap();
    let sealing = timed(|| {
        let mut plaintext = File::open(file).unwrap();
        seal(&[recipient], &options, &mut plaintext, &mut null).unwrap();
    });
    let mut ciphertext = Vec::new();
    let mut plaintext = File::open(file).unwrap();
    let sealed = seal(&[recipient], &options, &mut plaintext, &mut ciphertext).unwrap();
    let proving = timed(|| {
        prove(&sealed, &[recipient], &mut Cursor::new(&ciphertext)).unwrap();
    });
    vec![sealing, proving]
}

fn gpg(home: &Path) -> Command {
    let mut command = Command::new("gpg");
    command.args(["--batch", "--quiet", "--yes", "--trust-model", "always", "--homedir"]);
    command.arg(home);
    command
}

fn gpg_encrypt(home: &Path, user_id: &str, file: &Path) -> Command {
    let mut command = gpg(home);
    command
        .args(["--compress-algo", "none", "--cipher-algo", "AES256", "--recipient", user_id])
        .args(["--output", "/dev/null", "--encrypt"])
        .arg(file);
    command
}

fn sq_encrypt(certificate: &Path, file: &Path) -> Command {
    let mut command = Command::new("sq");
    command.args(["--force", "encrypt", "--binary", "--compression", "none"]);
    command.arg("--recipient-cert").arg(certificate).args(["--output", "/dev/null"]).arg(file);
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn timed(work: impl FnOnce()) -> Cost {
    let (start, before) = (Instant::now(), processor_seconds());
    work();
    Cost { wall: start.elapsed().as_secs_f64(), processor: processor_seconds() - before }
}

/// Of this process and of the children that it has waited for, in steps of a hundredth.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name in brackets may hold anything; what follows starts with the third field.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let times = fields.split_whitespace().skip(11).take(4);
    times.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// Bytes that do not compress.
fn write_noise(path: &Path, mib: u64) {
    let mut file = File::create(path).unwrap();
    let mut state = 88_172_645_463_325_252_u64;
    let mut block = vec![0_u8; 1 << 20];
    for _ in 0..mib {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block).unwrap();
    }
    file.sync_all().unwrap();
    // Warm, for whoever comes first.
    std::io::copy(&mut File::open(path).unwrap().take(mib << 20), &mut std::io::sink()).unwrap();
}
