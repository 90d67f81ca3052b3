/* SPDX-License-Identifier: GPL-2.0 */
/* The one option BCC's own bpf.h asks about. */
#define CONFIG_BPF_SYSCALL 1
