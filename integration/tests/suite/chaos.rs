//! A dozen seeds of chaos; `make chaos` tries hundreds. What befalls a seed and which laws must hold
//! then stands in `integration::chaos`.

use std::path::Path;

use integration::chaos::try_seed;

fn seed(number: u64) {
    let program = Path::new(env!("CARGO_BIN_EXE_chaos"));
    let evidence = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos");
    let outcome = try_seed(number, program, &evidence);
    assert!(outcome.broken.is_empty(), "{outcome}");
    assert!(!outcome.strikes.is_empty(), "nothing befell seed {number}");
}

macro_rules! seeds {
    ($($name:ident = $number:literal,)+) => {
        $(#[test]
        fn $name() {
            seed($number);
        })+
    };
}

seeds! {
    seed_1 = 1,
    seed_2 = 2,
    seed_3 = 3,
    seed_4 = 4,
    seed_5 = 5,
    seed_6 = 6,
    seed_7 = 7,
    seed_8 = 8,
    seed_9 = 9,
    seed_10 = 10,
    seed_11 = 11,
    seed_12 = 12,
}
