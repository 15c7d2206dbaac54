/* SPDX-License-Identifier: Apache-2.0 */
/* LD_PRELOAD, VFIOTAPE_SESSION and VFIOTAPE_SIM: found at start, and kept in the environment of what the driver execs. */
#ifndef VFIOTAPE_ENVIRONMENT_H
#define VFIOTAPE_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

/* The session's directory, or NULL. */
const char *environment_session(void);
/* The simulated kernel's, or NULL. */
const char *environment_simulator(void);
/* Keeps what children will need, as it is now: the driver may change its environment. Either may be NULL. */
void environment_remember(const char *directory, const char *simulator);

/* Room that environment_amended needs for an environment; 0 when it can be used as it is. */
size_t environment_room(char *const *environment);
/* `environment` with our variables put in, built in `room`. A driver that cleared its environment is still followed. */
char **environment_amended(char *const *environment, void *room);

#endif
