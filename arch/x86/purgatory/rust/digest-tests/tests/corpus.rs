// SPDX-License-Identifier: GPL-2.0-only

//! Replays inputs of libFuzzer that once reached new code, and mutations of these, against the
//! properties of `purgatory_digest_tests::fuzz`.

use purgatory_digest_tests::{
    fuzz::TARGETS,
    noise, //
};
use std::{
    fs,
    path::Path, //
};

/// Number of mutations of each input of the corpus, and their maximum length in bytes.
const MUTATIONS: usize = 200;
const LONGEST: usize = 400;

/// Reads a corpus: a line of hexadecimal digits for each input, and comments.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name)
        .with_extension("hex");
    let text = fs::read_to_string(&path).unwrap();

    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| hex::decode(line).unwrap())
        .collect()
}

/// A mutation of `input`, chosen by `seed`: bytes are replaced, inserted, removed, or appended from
/// `other`.
fn mutated(input: &[u8], other: &[u8], seed: u64) -> Vec<u8> {
    let choices = noise(seed, 64);
    let mut output = input.to_vec();

    for choice in choices
        .chunks_exact(8)
        .take(1 + usize::from(choices[0] % 7))
    {
        let at = usize::from(u16::from_le_bytes([choice[1], choice[2]])) % (output.len() + 1);
        let len = usize::from(choice[3] % 24);
        let cut = at..(at + len).min(output.len());

        match choice[4] % 5 {
            0 => output[cut].iter_mut().for_each(|byte| *byte ^= choice[5]),
            1 => output[cut].fill([0, 1, 0x80, 0xff][usize::from(choice[5] % 4)]),
            2 => drop(output.splice(at..at, noise(seed ^ 1, len))),
            3 => drop(output.drain(cut)),
            _ => output.extend(other.iter().skip(usize::from(choice[5]))),
        }
    }
    output.truncate(LONGEST);
    output
}

fn replay(name: &str, mutations: usize) {
    let target = TARGETS.into_iter().find(|target| target.name == name);
    let check = target.unwrap().check;
    let corpus = corpus(name);

    assert!(!corpus.is_empty());
    for (i, input) in corpus.iter().enumerate() {
        check(input);
        for j in 0..mutations {
            let other = &corpus[(i + j) % corpus.len()];

            check(&mutated(input, other, (i * mutations + j) as u64));
        }
    }
}

#[test]
fn params() {
    replay("params", MUTATIONS);
}

/// Fewer mutations, since each takes milliseconds.
#[test]
fn digest() {
    replay("digest", 1);
}
