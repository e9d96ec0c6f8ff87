/* SPDX-License-Identifier: GPL-2.0 */
#ifndef XEN_H
#define XEN_H

#define SIF_MOD_START_PFN	8

struct start_info {
	char magic[32];
	uint64_t nr_pages;
	uint64_t shared_info;
	uint32_t flags;
	uint64_t store_mfn;
	uint32_t store_evtchn;
	uint64_t console_mfn;
	uint32_t console_evtchn;
	uint64_t pt_base, nr_pt_frames;
	uint64_t mfn_list;
	uint64_t mod_start, mod_len;
	char cmd_line[1024];
	uint64_t first_p2m_pfn, nr_p2m_frames;
};

/* the console's rings */
struct xencons {
	uint8_t in[1024], out[2048];
	uint32_t in_cons, in_prod, out_cons, out_prod;
};

#endif
