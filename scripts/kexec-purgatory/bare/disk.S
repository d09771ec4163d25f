/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Boot sector for an emulator that only knows the BIOS boot protocol: fills the
 * memory from the disk that it was read from, and continues in boot.S.
 *
 * The sector after this one is a table with three 32-bit words per entry, which
 * src/bare/bare_bochs.rs writes: first sector, number of sectors, address.  The
 * last entry has no sectors, and the address to continue at.
 */

#define TABLE		0x7e00
#define TABLE_SECTOR	1

/* The first UART of a PC: line control register, eight bits without parity */
#define UART_LCR	0x3fb
#define UART_8N1	3

#define ATA_DATA	0x1f0
#define ATA_COUNT	0x1f2
#define ATA_STATUS	0x1f7
#define ATA_READ	0x20
#define ATA_BSY		0x80
#define ATA_DRQ		0x08

	.text
	.code16
	.globl	_start
_start:
	cli
	cld
	xorl	%eax, %eax
	movw	%ax, %ds
	/* Enables address line 20 */
	inb	$0x92, %al
	orb	$2, %al
	outb	%al, $0x92
	lgdtl	gdt_pointer
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$0x08, $protected

	.code32
protected:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$0x7c00, %esp

	movb	$UART_8N1, %al
	movl	$UART_LCR, %edx
	outb	%al, %dx

	movl	$TABLE_SECTOR, %esi
	movl	$1, %ebp
	movl	$TABLE, %edi
	call	read
	movl	$TABLE, %ebx
0:	movl	(%ebx), %esi
	movl	4(%ebx), %ebp
	movl	8(%ebx), %edi
	addl	$12, %ebx
	testl	%ebp, %ebp
	jz	1f
	call	read
	jmp	0b
1:	jmp	*%edi

	/* Reads %ebp sectors, from sector %esi on, to %edi */
read:
	movl	$ATA_COUNT, %edx
	movb	$1, %al
	outb	%al, %dx
	movl	%esi, %eax
	movl	$3, %ecx
2:	incl	%edx
	outb	%al, %dx
	shrl	$8, %eax
	loop	2b
	incl	%edx
	orb	$0xe0, %al
	outb	%al, %dx
	incl	%edx
	movb	$ATA_READ, %al
	outb	%al, %dx
3:	inb	%dx, %al
	testb	$ATA_BSY, %al
	jnz	3b
	testb	$ATA_DRQ, %al
	jz	3b
	movl	$ATA_DATA, %edx
	movl	$256, %ecx
	rep insw
	incl	%esi
	decl	%ebp
	jnz	read
	ret

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00cf93000000ffff
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt

	.org	510
	.word	0xaa55
