// SPDX-License-Identifier: GPL-2.0-only

//! Entry from `relocate_kernel`, exit to the next kernel.
//!
//! On entry (see `arch/x86/kernel/relocate_kernel_64.S`): 64-bit mode, IF and DF clear, identity
//! mapping, `CR4` = PAE and possibly LA57 and MCE, `%rsi`, `%rdx` and `%rcx` as in [`abi`], all
//! other general registers except `%rsp` 0.
//!
//! On exit (see the 64-bit boot protocol in `Documentation/arch/x86/boot.rst`): as on entry, except
//! that the GDT is this image's, `%rsi` = `struct boot_params`, `%rdx` and `%rcx` are 0, and `%rsp`
//! = the end of this image's stack. `purgatory_main` has checked `%rsi` and the entry point and
//! returns them in registers: nothing is read from [`Params`] again. The purgatory of a crash image
//! that is entered after a mismatch gets the same state, with an [`abi::Handoff`] in `%rsi`.

use core::arch::global_asm;
use purgatory_digest::abi::{
    self,
    Params, //
};

/// Bytes of stack. The deepest path, into the engine `avx2-x8`, takes about 9 KiB.
const STACK_SIZE: usize = 16 * 1024;

const CR0_MP: u64 = 1 << 1;
const CR4_OSFXSR: u64 = 1 << 9;
const CR4_OSXMMEXCPT: u64 = 1 << 10;

global_asm!(
    r#"
    # For check.sh.
    .globl purgatory_file_size_max
    .set purgatory_file_size_max, {file_size_max}

    .section .head, "ax", @progbits
    .globl purgatory_header
purgatory_header:
    .quad {magic}
    .long {version}
    .long purgatory_entry - purgatory_header
    .long purgatory_params - purgatory_header
    .long purgatory_file_end - purgatory_header
    .long purgatory_mem_end - purgatory_header
    .long 0
    .if . - purgatory_header - {header_size}
    .error "the header is not struct Header"
    .endif

    .balign 16
    .globl purgatory_entry
purgatory_entry:
    leaq    purgatory_stack_end(%rip), %rsp

    # The segment registers still refer to descriptors of the previous kernel.
    leaq    gdt(%rip), %rax
    pushq   %rax
    pushw   $gdt_end - gdt - 1
    lgdt    (%rsp)
    addq    $10, %rsp
    movl    $0x18, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %ss
    movl    %eax, %fs
    movl    %eax, %gs
    pushq   $0x10
    leaq    0f(%rip), %rax
    pushq   %rax
    lretq
0:
    # Compiled code uses SSE registers. CR0.EM and CR0.TS are clear.
    movq    %cr0, %rbx
    movq    %rbx, %rax
    orq     ${cr0_mp}, %rax
    movq    %rax, %cr0
    movq    %cr4, %rbp
    movq    %rbp, %rax
    orq     ${cr4_sse}, %rax
    movq    %rax, %cr4

    # Returns only if something is to be entered: its %rsi in %rax, its entry point in %rdx. %rsi is
    # the Handoff.
    leaq    purgatory_header(%rip), %rdi
    movq    %rcx, %r8
    movq    %rdx, %rcx
    leaq    purgatory_params(%rip), %rdx
    leaq    purgatory_entry(%rip), %r9
    call    purgatory_main

    movq    %rbp, %cr4
    movq    %rbx, %cr0

    movq    %rax, %rsi
    pushq   %rdx
    xorl    %eax, %eax
    xorl    %ebx, %ebx
    xorl    %ecx, %ecx
    xorl    %edx, %edx
    xorl    %edi, %edi
    xorl    %ebp, %ebp
    xorl    %r8d, %r8d
    xorl    %r9d, %r9d
    xorl    %r10d, %r10d
    xorl    %r11d, %r11d
    xorl    %r12d, %r12d
    xorl    %r13d, %r13d
    xorl    %r14d, %r14d
    xorl    %r15d, %r15d
    ret

    # Stays in force until the next kernel loads its own. The accessed bits are set, so that the CPU
    # does not write to the table, which the digest of this image covers.
    .balign 16
gdt:
    .quad   0, 0
    .quad   0x00af9b000000ffff
    .quad   0x00cf93000000ffff
gdt_end:

    .section .params, "aw", @progbits
    .balign 8
    .globl purgatory_params
purgatory_params:
    .skip   {params_size}

    .section .bss.stack, "aw", @nobits
    .balign 16
    .skip   {stack_size}
purgatory_stack_end:
    "#,
    magic = const abi::MAGIC,
    version = const abi::VERSION,
    header_size = const size_of::<abi::Header>(),
    file_size_max = const abi::FILE_SIZE_MAX,
    cr0_mp = const CR0_MP,
    cr4_sse = const CR4_OSFXSR | CR4_OSXMMEXCPT,
    params_size = const size_of::<Params>(),
    stack_size = const STACK_SIZE,
    options(att_syntax),
);
