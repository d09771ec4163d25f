/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included by relocate_kernel_64.S
 *
 * KEXEC_COPY_PAGE - copy a page of an image that does not return to this kernel
 *
 * On entry: %rsi source page, %rdi destination page, %rbx the entry of the
 * indirection list after that of the source page, %r11 flags: RELOC_KERNEL_*.
 * Page tables map one to one. Only the general registers may be used.
 * Continues at \next with %rdi at the next destination page. Changes nothing and
 * falls through if the pages have to be swapped instead
 * (RELOC_KERNEL_PRESERVE_CONTEXT), or copied by stores to the cache
 * (RELOC_KERNEL_CACHED_COPY).
 *
 * Clobbers %rax, %rcx, %rdx, %rsi, %r9, %r10, %r12, %r13, %r14.
 *
 * An image is larger than most caches, and is not read again before all of it
 * is copied. Stores that bypass the cache save reading the destination. A
 * prefetch of the next source page, which may lie anywhere, keeps the loads
 * busy from one page to the next. The gain is measured in
 * Documentation/arch/x86/kexec-purgatory-performance.rst. The caller executes
 * a serializing instruction, which orders the stores.
 *
 * The CPU may write a line in parts. On some CPUs, see kexec_copies_cached(),
 * that poisons a line of memory that is private to TDX, which this kernel or an
 * earlier one may have left behind; a later read raises #MC. See
 * Documentation/arch/x86/tdx.rst.
 */
.macro KEXEC_COPY_PAGE next:req
#ifdef CONFIG_KEXEC_PURGATORY_RUST
	testb	$(RELOC_KERNEL_PRESERVE_CONTEXT | RELOC_KERNEL_CACHED_COPY), %r11b
	jnz	.Lother\@

	/* Offset of the next page. A prefetch does not fault, whatever the address. */
	movq	(%rbx), %rax
	andq	$0xfffffffffffff000, %rax
	subq	%rsi, %rax
	movl	$(PAGE_SIZE / 64), %ecx
.Lline\@:
	prefetcht0 (%rsi, %rax)
	movq	  (%rsi), %rdx
	movq	 8(%rsi), %r9
	movq	16(%rsi), %r10
	movq	24(%rsi), %r12
	movq	32(%rsi), %r13
	movq	40(%rsi), %r14
	movnti	%rdx,   (%rdi)
	movq	48(%rsi), %rdx
	movnti	%r9,   8(%rdi)
	movq	56(%rsi), %r9
	movnti	%r10, 16(%rdi)
	movnti	%r12, 24(%rdi)
	movnti	%r13, 32(%rdi)
	movnti	%r14, 40(%rdi)
	movnti	%rdx, 48(%rdi)
	movnti	%r9,  56(%rdi)
	addq	$64, %rsi
	addq	$64, %rdi
	decl	%ecx
	jnz	.Lline\@
	jmp	\next
.Lother\@:
#endif
.endm
