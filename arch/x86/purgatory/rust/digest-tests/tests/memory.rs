// SPDX-License-Identifier: GPL-2.0-only

//! The memory functions of the purgatory, compared with those of `core`.

use std::arch::{asm, global_asm};

// Other names, so that the host's functions stay in use.
global_asm!(
    r#"
    .macro function name
    .globl purgatory_\name
purgatory_\name:
    .endm

    .macro end name
    .endm

    .text
    "#,
    include_str!("../../mem.S"),
    options(att_syntax),
);

unsafe extern "C" {
    fn purgatory_memcpy(dst: *mut u8, src: *const u8, n: usize) -> *mut u8;
    fn purgatory_memmove(dst: *mut u8, src: *const u8, n: usize) -> *mut u8;
    fn purgatory_memset(dst: *mut u8, byte: i32, n: usize) -> *mut u8;
    fn purgatory_memcmp(a: *const u8, b: *const u8, n: usize) -> i32;
    fn purgatory_bcmp(a: *const u8, b: *const u8, n: usize) -> i32;
}

/// Bytes of the buffers.
const SIZE: usize = 67;

/// Whether string instructions count downwards, which a function must not leave behind.
fn direction_flag() -> bool {
    let flags: u64;

    // SAFETY: Reads the flags.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags) };
    flags & 1 << 10 != 0
}

/// No two neighbors are equal.
fn pattern() -> [u8; SIZE] {
    std::array::from_fn(|i| (i * 37 + 11) as u8)
}

/// Calls `f` with every range of a buffer.
fn for_each_range(mut f: impl FnMut(usize, usize)) {
    for start in 0..=SIZE {
        for len in 0..=SIZE - start {
            f(start, len);
        }
    }
}

#[test]
fn bytes_are_copied_between_buffers() {
    for_each_range(|start, len| {
        let (from, mut to) = (pattern(), [0; SIZE]);
        let mut expected = to;
        expected[start..start + len].copy_from_slice(&from[..len]);
        let dst = to[start..].as_mut_ptr();

        // SAFETY: Both buffers have `len` bytes there, and do not overlap.
        assert_eq!(unsafe { purgatory_memcpy(dst, from.as_ptr(), len) }, dst);
        assert_eq!(to, expected);
    });
}

#[test]
fn bytes_are_moved_within_a_buffer() {
    for_each_range(|from, len| {
        for to in 0..=SIZE - len {
            let (mut buffer, mut expected) = (pattern(), pattern());
            expected.copy_within(from..from + len, to);
            let base = buffer.as_mut_ptr();

            // SAFETY: The buffer has `len` bytes at both offsets.
            let (src, dst) = unsafe { (base.add(from), base.add(to)) };
            // SAFETY: As above.
            assert_eq!(unsafe { purgatory_memmove(dst, src, len) }, dst);
            assert!(!direction_flag());
            assert_eq!(buffer, expected, "{len} bytes from {from} to {to}");
        }
    });
}

#[test]
fn bytes_are_set() {
    for_each_range(|start, len| {
        let (mut buffer, mut expected) = (pattern(), pattern());
        expected[start..start + len].fill(0xa5);
        let dst = buffer[start..].as_mut_ptr();

        // SAFETY: The buffer has `len` bytes there. Only the low byte of the value counts.
        assert_eq!(unsafe { purgatory_memset(dst, -0x5b, len) }, dst);
        assert_eq!(buffer, expected);
    });
}

#[test]
fn bytes_are_compared() {
    for_each_range(|start, len| {
        let (a, mut b) = (pattern(), pattern());
        let compare = |b: &[u8; SIZE]| {
            let (a, b) = (a[start..].as_ptr(), b[start..].as_ptr());
            // SAFETY: Both buffers have `len` bytes there.
            unsafe { (purgatory_memcmp(a, b, len), purgatory_bcmp(a, b, len)) }
        };

        assert_eq!(compare(&b), (0, 0));
        for at in start..start + len {
            for other in [0, a[at].wrapping_add(1), 0xff] {
                b[at] = other;
                let (order, differs) = compare(&b);
                assert_eq!(order.cmp(&0), a[at].cmp(&other));
                assert_eq!(differs != 0, a[at] != other);
            }
            b[at] = a[at];
        }
        // What follows does not count.
        if let Some(after) = b.get_mut(start + len) {
            *after = !*after;
        }
        assert_eq!(compare(&b), (0, 0));
    });
}
