/* SPDX-License-Identifier: GPL-2.0 */
/* Nothing here depends on a kernel version: features are found in BTF. */
#define LINUX_VERSION_CODE 0
#define KERNEL_VERSION(a, b, c) 0
