/* SPDX-License-Identifier: GPL-2.0 */
/* Empty on purpose: BCC includes it, nothing here needs it. */
