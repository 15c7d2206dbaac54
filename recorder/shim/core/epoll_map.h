/* SPDX-License-Identifier: Apache-2.0 */
/* Which eventfd an epoll event's data stands for: only the driver that called epoll_ctl knows otherwise. */
#ifndef VFIOTAPE_EPOLL_MAP_H
#define VFIOTAPE_EPOLL_MAP_H

#include <stdbool.h>
#include <stdint.h>

/* After a successful EPOLL_CTL_ADD or MOD of an eventfd; false when the table is full. */
bool epoll_map_set(int epoll, int fd, uint64_t data);
/* After EPOLL_CTL_DEL. */
void epoll_map_remove(int epoll, int fd);
/* A descriptor is closed, be it the eventfd or the epoll. */
void epoll_map_forget(int fd);
/* The eventfd, or -1 when the data is of something else. */
int epoll_map_find(int epoll, uint64_t data);

#endif
