/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory functions that the compiler calls, for the ABI of System V.
 *
 * String instructions are slow for small sizes.  Speed does not matter here:
 * digests are computed in place.  DF is clear on entry and on return.
 *
 * The file that includes this one defines the macros "function" and "end", which
 * begin and end the function with the given name.
 */

	/* void *memcpy(void *dst, const void *src, size_t n) */
	function memcpy
	movq	%rdi, %rax
	movq	%rdx, %rcx
	rep movsb
	ret
	end memcpy

	/* void *memmove(void *dst, const void *src, size_t n) */
	function memmove
	movq	%rdi, %rax
	movq	%rdx, %rcx
	movq	%rdi, %r8
	subq	%rsi, %r8
	cmpq	%rdx, %r8
	jb	.Ldownwards
	/* dst is not inside the source: every byte is read before it is overwritten. */
	rep movsb
	ret
.Ldownwards:
	/* n is not 0 here. */
	leaq	-1(%rdi,%rdx), %rdi
	leaq	-1(%rsi,%rdx), %rsi
	std
	rep movsb
	cld
	ret
	end memmove

	/* void *memset(void *dst, int byte, size_t n) */
	function memset
	movq	%rdi, %r8
	movl	%esi, %eax
	movq	%rdx, %rcx
	rep stosb
	movq	%r8, %rax
	ret
	end memset

	/* int bcmp(const void *a, const void *b, size_t n); a result like memcmp()'s is allowed */
	function bcmp
	jmp	.Lcompare
	end bcmp

	/* int memcmp(const void *a, const void *b, size_t n) */
	function memcmp
.Lcompare:
	movq	%rdx, %rcx
	/* Sets ZF, which stays as it is if there is no byte to compare. */
	xorl	%eax, %eax
	repe cmpsb
	je	.Lequal
	movzbl	-1(%rdi), %eax
	movzbl	-1(%rsi), %edx
	subl	%edx, %eax
.Lequal:
	ret
	end memcmp
