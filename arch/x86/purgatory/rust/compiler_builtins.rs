// SPDX-License-Identifier: GPL-2.0-only

//! The memory functions that the compiler calls: `mem.S`.
//!
//! They are in assembler, because a compiler can turn a loop into a call of the function that the
//! loop is in.

#![feature(compiler_builtins)]
#![compiler_builtins]
#![no_std]
#![allow(internal_features)]

core::arch::global_asm!(
    r#"
    .macro function name
    .section .text.\name, "ax", @progbits
    .globl \name
    .type \name, @function
\name:
    .endm

    .macro end name
    .size \name, . - \name
    .endm

    "#,
    include_str!("mem.S"),
    options(att_syntax),
);
