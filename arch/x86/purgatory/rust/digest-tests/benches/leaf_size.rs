// SPDX-License-Identifier: GPL-2.0-only

//! Throughput of every engine with several leaf sizes, candidates for `abi::LEAF_SIZE`.
//!
//! The runs of all engines and leaf sizes are interleaved, so that a disturbance affects all alike.
//! For each, the table gives the median in MB/s, the distance between the quartiles in percent of
//! the median, and the speed that the fastest twentieth of the runs reached. On a machine that is
//! not idle, compare only the last one.
//!
//! Arguments: the size of the region in MiB, and the number of rounds.

use purgatory_digest::{
    abi::{
        Digest,
        LEAF_SIZE, //
    },
    engines::EngineKind, //
};
use purgatory_digest_tests::{
    digest,
    engines,
    noise, //
};
use std::{
    hint::black_box,
    time::Instant, //
};

/// An instance of `digest()`.
type RegionDigest = fn(EngineKind, &[u8]) -> Digest;

macro_rules! leaf_sizes {
    ($($size:expr),* $(,)?) => {
        [$(($size, digest::<{ $size }> as RegionDigest)),*]
    };
}

/// Powers of two, and sizes near them that do not put all lanes into the same cache set.
const LEAF_SIZES: [(usize, RegionDigest); 9] = leaf_sizes![
    4 << 10,
    8 << 10,
    16 << 10,
    (16 << 10) + 64,
    32 << 10,
    (32 << 10) - 64,
    (32 << 10) + 64,
    63 << 10,
    64 << 10,
];

fn main() {
    // Cargo passes `--bench` to every benchmark.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let mut number = |default| {
        args.next()
            .map_or(default, |arg| arg.parse().expect("a number"))
    };
    let region = noise(6, number(46) << 20);
    let rounds = number(15);

    // The table's lines, with the times of their runs in seconds.
    let mut lines: Vec<_> = engines()
        .iter()
        .flat_map(|&engine| LEAF_SIZES.map(|(size, digest)| (engine, size, digest, Vec::new())))
        .collect();

    for _ in 0..rounds {
        for (engine, _, digest, seconds) in &mut lines {
            let start = Instant::now();

            black_box(digest(*engine, &region));
            seconds.push(start.elapsed().as_secs_f64());
        }
    }

    println!("{} MiB, {rounds} rounds", region.len() >> 20);
    println!(
        "{:12}{:>8}{:>8}{:>9}{:>8}",
        "engine", "leaf", "MB/s", "spread", "best"
    );
    for (engine, size, _, seconds) in &mut lines {
        seconds.sort_by(f64::total_cmp);

        let at = |percent| seconds[(seconds.len() - 1) * percent / 100];
        let speed = |seconds| region.len() as f64 / seconds / 1e6;
        let spread = (at(75) - at(25)) / at(50) * 100.0;
        let mark = if *size == LEAF_SIZE { " *" } else { "" };

        println!(
            "{:12}{size:8}{:8.0}{spread:8.1}%{:8.0}{mark}",
            engine.name(),
            speed(at(50)),
            speed(at(5)),
        );
    }
}
