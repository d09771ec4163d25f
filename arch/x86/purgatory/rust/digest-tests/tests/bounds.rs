// SPDX-License-Identifier: GPL-2.0-only

//! No engine reads a byte outside of the region: access to the pages around it kills the process.

use openssl::sha;
use purgatory_digest::{
    abi::LEAF_SIZE,
    sha256, //
};
use purgatory_digest_tests::{
    digest,
    engines,
    noise,
    reference, //
    Guarded,
};

/// Checks regions of these lengths that start at a guard page, and that end at one.
fn check<const LEAF: usize>(lens: impl Iterator<Item = usize>, max: usize) {
    let mut memory = Guarded::new(max).unwrap();
    let size = memory.bytes().len();

    memory.bytes_mut().copy_from_slice(&noise(5, size));
    for len in lens {
        for region in [&memory.bytes()[..len], &memory.bytes()[size - len..]] {
            let expected = reference(LEAF, region);

            for &engine in engines() {
                assert_eq!(
                    digest::<LEAF>(engine, region),
                    expected,
                    "{}: {len} bytes in leaves of {LEAF}",
                    engine.name(),
                );
            }
        }
    }
}

#[test]
fn short_leaves() {
    check::<64>(0..=4096, 4096);
    check::<256>(0..=3 * 4096, 3 * 4096);
}

#[test]
fn leaves_of_the_abi() {
    let max = 35 * LEAF_SIZE;
    let lens = (0..max / LEAF_SIZE)
        .flat_map(|leaves| [0, 1, 63, 64, 65, LEAF_SIZE - 1].map(|tail| leaves * LEAF_SIZE + tail));

    check::<LEAF_SIZE>(lens, max);
}

#[test]
fn flat() {
    let mut memory = Guarded::new(4096).unwrap();
    let size = memory.bytes().len();

    memory.bytes_mut().copy_from_slice(&noise(6, size));
    for len in 0..=size {
        for region in [&memory.bytes()[..len], &memory.bytes()[size - len..]] {
            assert_eq!(sha256(region), sha::sha256(region), "{len} bytes");
        }
    }
}

/// A child process that reads a guard page is killed.
#[test]
fn guard_pages_guard() {
    let memory = Guarded::new(4096).unwrap();
    let bytes = memory.bytes();
    let before = bytes.as_ptr().wrapping_sub(1);
    let after = bytes.as_ptr().wrapping_add(bytes.len());

    for address in [before, after] {
        // SAFETY: The child calls nothing but async-signal-safe functions.
        let child = unsafe { libc::fork() };

        if child == 0 {
            // SAFETY: The read faults, as the test expects. `_exit()` does not return.
            unsafe {
                address.read_volatile();
                libc::_exit(0);
            }
        }
        assert!(child > 0);

        let mut status = 0;
        // SAFETY: `status` is a local variable.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV);
    }
}
