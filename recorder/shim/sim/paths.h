/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths of the simulated machine: below the prefixes of abi/wire/sim.h they are looked up in the server's tree, and what
 * the kernel says of places there is told without the tree's own path.
 */
#ifndef VFIOTAPE_SHIM_SIM_PATHS_H
#define VFIOTAPE_SHIM_SIM_PATHS_H

#include "sim.h"

#define SIM_PATH_ROOM 4096

struct sim_place {
	const char *path; /* for the kernel, with the same directory: the driver's own, or that in `room` */
	bool inside;      /* it leads into the tree */
};

struct sim_place sim_place_of(int directory, const char *path, char room[SIM_PATH_ROOM]);
/* For a path that has no directory. */
const char *sim_path(const char *path, char room[SIM_PATH_ROOM]);
bool sim_in_tree(const char *path);
/* Takes DIR/root off a path; how many bytes that were. */
size_t sim_strip(char *path);

/* A device node stands in the tree as a marked file. */
void sim_fix_stat(struct stat *status);
void sim_fix_statx(struct statx *status);

long sim_openat(int directory, const char *path, int flags, uint32_t mode);
long sim_statat(int directory, const char *path, struct stat *status, int flags);
/* fstat of any descriptor. */
long sim_fstat_of(int fd, struct stat *status);

#endif
