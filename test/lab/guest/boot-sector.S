/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system that the nested QEMU boots from the NVMe controller that was passed through to it: reads eight sectors
 * sixteen times through the BIOS, reports on the debug console, and ends the machine.
 *
 * BIOS interrupt 13h function 42h (extended read) takes a disk address packet at DS:SI and the drive in DL, which the
 * BIOS left there.
 */
	.code16
	.globl	_start
_start:
	movw	$0x7c0, %ax		/* the BIOS loads us at 0000:7c00; addresses here count from 0 */
	movw	%ax, %ds
	xorw	%ax, %ax
	movw	%ax, %ss
	movw	$0x7c00, %sp
	cld

	movw	$banner, %si
1:	lodsb
	testb	%al, %al
	jz	2f
	outb	%al, $0xe9		/* QEMU's isa-debugcon */
	jmp	1b

2:	movw	$16, %cx
3:	pushw	%cx
	movw	$packet, %si
	movb	$0x42, %ah
	int	$0x13
	popw	%cx
	jc	4f
	loop	3b
	movb	$'K', %al
	jmp	5f
4:	movb	$'E', %al
5:	outb	%al, $0xe9
	movb	$'\n', %al
	outb	%al, $0xe9

	xorl	%eax, %eax
	movw	$0xf4, %dx		/* QEMU's isa-debug-exit: status (0 << 1) | 1 */
	outl	%eax, %dx
6:	hlt
	jmp	6b

banner:
	.asciz	"boot sector on a passed-through NVMe: "
packet:
	.byte	16, 0
	.word	8			/* sectors */
	.word	0x8000, 0		/* to 0000:8000 */
	.quad	1			/* from LBA 1 */

	.org	510
	.word	0xaa55
