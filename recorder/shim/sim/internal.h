/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the simulated kernel's backend share. */
#ifndef VFIOTAPE_SHIM_SIM_INTERNAL_H
#define VFIOTAPE_SHIM_SIM_INTERNAL_H

#include "../core/fault_safe.h"
#include "sim.h"

/* --- connection.c, channel.c ---------------------------------------------------------------------------------------------------------- */

struct sim_channel;

/* One request and its reply. All signals are blocked from sim_begin to sim_end. */
struct sim_call {
	struct vfiotape_sim_request request;
	struct vfiotape_sim_reply reply;
	struct sim_channel *channel; /* NULL: a connection of its own */
	uint64_t mask;
	int fd; /* or a negative errno: there is none */
	size_t left; /* bytes of the reply's payload that are still to be received */
};

/* Once; false where a forked child could not be told from its parent. */
bool sim_channels_attach(void);
/* A connection at the lowest free number; flags of socket(2). */
long sim_connect(int flags);
/* Moves a descriptor to a high number, hidden from the driver and closed by exec. */
void sim_unhide(int fd);
/* At least `length` bytes, or fewer when the other end hung up (or an errno). */
long sim_send(int fd, struct iovec *pieces, unsigned int count);
long sim_receive(int fd, void *to, size_t length);
/* The first request on a connection and its reply. */
long sim_introduce(int fd, struct vfiotape_sim_request *request, const void *payload, struct vfiotape_sim_reply *reply);

/* Zeroes the request but for who asks. */
void sim_begin(struct sim_call *call, enum vfiotape_sim_type type, uint64_t file);
/* The reply's result; -EIO when there is no server, -EMFILE when there is no number for a connection to it. The payload stays for sim_take. */
long sim_ask(struct sim_call *call, const void *payload, size_t length);
/* Receives part of the payload where the driver may have given a bad address: then -EFAULT, and the rest is dropped. */
long sim_take(struct sim_call *call, uint64_t to, size_t length);
/* Drops what is left. */
void sim_end(struct sim_call *call);

uint64_t sim_block_signals(void);
void sim_restore_signals(uint64_t mask);
/* The server is gone: said once. */
void sim_lost(void);

/* --- netlink.c ---------------------------------------------------------------------------------------------------------- */

/* In a forked child. */
void sim_netlink_in_child(void);

/* --- service.c ---------------------------------------------------------------------------------------------------------- */

/* The thread that signals eventfds runs in this process; or a negative errno: it can't. */
long sim_service_start(void);
void sim_service_move_away(int fd);
/* In a forked child: the parent's connection is closed, its tokens are kept. */
void sim_service_drop(void);
bool sim_service_has_tokens(void);

#endif
